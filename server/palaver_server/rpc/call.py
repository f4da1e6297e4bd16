"""What is known about the call that the current task answers."""

from __future__ import annotations

import re
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field

REQUEST_ID_KEY = "x-request-id"
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
"""A caller's id goes into logs and headers as it is: nothing that could break a line or a header."""


@dataclass(slots=True)
class Call:
    """One RPC, from its metadata to its access-log line."""

    method: str
    """The full method name, ``/palaver.v1.ChatService/Chat``."""
    request_id: str
    peer: str
    began: float = field(default_factory=time.monotonic)
    has_answered: bool = False
    """A part of a streamed answer has been sent, as far as the handler says so: an error can only follow it."""
    notes: dict[str, object] = field(default_factory=dict)
    """Figures for the access log, such as token counts. Never a prompt, an answer or a key."""


current_call: ContextVar[Call] = ContextVar("palaver_call")
"""Set for the time of a handler."""


def request_id_from(given: str | bytes | None) -> str:
    """The caller's own request id if it may stand in a log, else a new one."""
    if isinstance(given, str) and _ACCEPTABLE_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex
