"""Requests that differ in nothing but what is said in their messages: one of them is checked for all.

The contract's rules look at the texts of messages for their length alone, which a short request cannot exceed. So
whatever they say of one request holds for every other that is the same but for these texts: the same roles, as many
parts, the same options, to the last byte. Many callers ask in such requests all day.
"""

from __future__ import annotations

import hashlib

from google.protobuf.message import Message

from palaver_server.rpc.conversation import conversation_of

MAX_BYTES = 65_536
"""Of a request that is compared. Below what the contract allows a text to have."""
MOST_KEPT = 1024
"""Shapes of requests that have passed; beyond, the oldest is forgotten."""


class Shapes:
    """Remembers the shapes of requests that have passed. Nothing of what callers have sent is kept, but hashes."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._passed: dict[bytes, None] = {}

    def have(self, shape: bytes | None) -> bool:
        """Tell whether a request of this shape has passed."""
        return shape in self._passed

    def add(self, shape: bytes | None) -> None:
        """Note that a request of this shape has passed."""
        if shape is None:
            return
        if len(self._passed) >= self._most:
            del self._passed[next(iter(self._passed))]
        self._passed[shape] = None


def shape_of(request: Message) -> bytes | None:
    """What a request has in common with all that differ in the texts of their messages; None for a long one."""
    if request.ByteSize() > MAX_BYTES:
        return None
    kind = type(request)
    shape = kind()
    shape.CopyFrom(request)
    if (conversation := conversation_of(shape)) is None:
        return None
    for message in conversation.messages:
        for part in message.content:
            if part.text:
                part.text = ""  # it stays set, unlike that of an empty part
    said = shape.SerializePartialToString(deterministic=True)
    return hashlib.sha256(kind.__name__.encode() + b":" + said).digest()
