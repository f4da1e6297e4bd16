"""The competitors, by the names that ``--peers`` takes."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from tests.bench.peers.peer import Peer

MODULES = {
    "palaver": "palaver_grpc",
    "two-front-ends": "two_front_ends",
    "palaver-unary": "palaver_unary",
    "edge-grpc": "edge_grpc",
    "edge-rest": "edge_rest",
    "edge-openai": "edge_openai",
    "raw": "raw",
    "scripted": "scripted",
    "vllm-openai": "vllm_openai",
    "vllm-grpc": "smg_grpc",
    "smg": "smg",
    "flask": "flask_transformers",
    "uncoalesced": "uncoalesced",
    "unwatched": "unwatched",
    "watched": "watched",
}
"""By name: the module, whose ``PEER`` is the competitor. Imported when asked for, as some take seconds."""


def peer_named(name: str) -> Peer:
    """The competitor of that name."""
    return cast(Peer, import_module(f"tests.bench.peers.{MODULES[name]}").PEER)
