"""What an engine core's output of one request brings."""

from __future__ import annotations

from operator import is_

from msgspec.structs import astuple
from vllm.v1.engine import EngineCoreOutput

_ID_AND_TOKENS = 2
_NOTHING_ELSE = astuple(EngineCoreOutput("", []))[_ID_AND_TOKENS:]


def is_only_tokens(output: EngineCoreOutput) -> bool:
    """Whether an output brings tokens of the middle of an answer and nothing else: no end, no log probabilities."""
    return all(map(is_, astuple(output)[_ID_AND_TOKENS:], _NOTHING_ELSE))
