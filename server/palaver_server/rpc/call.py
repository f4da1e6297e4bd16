"""What is known about the call that the current task answers."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import grpc

from palaver.v1 import chat_service_pb2
from palaver_server.core.events import Delta, Finished, Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.identity.client import ANONYMOUS, Client

Context = grpc.aio.ServicerContext[Any, Any]

REQUEST_ID_KEY = "x-request-id"
TRANSCODED_KEY = "x-envoy-original-path"
"""Set by Envoy's transcoder, and taken out of what callers send."""
_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
"""A caller's id goes into logs and headers as it is: nothing that could break a line or a header."""


@dataclass(slots=True)
class Call:
    """One RPC, from its metadata to its record."""

    method: str
    """The full method name, ``/palaver.v1.ChatService/Chat``."""
    request_id: str
    """The caller's own name for the call where it gave one, else a new one: by it logs are searched. Not unique."""
    peer: str
    client: Client = ANONYMOUS
    """Who calls; anonymous until the key has been checked, and where none is asked for."""
    trailers: tuple[tuple[str, str], ...] = ()
    """What the answer tells beside the request id: the state of the client's limit."""
    began: float = field(default_factory=time.monotonic)
    has_answered: bool = False
    """A part of a streamed answer has been sent, as far as the handler says so: an error can only follow it."""
    is_transcoded: bool = False
    """Envoy has made this call of an HTTP request: its caller sees no trailers once the answer has begun."""
    error_body: str | None = None
    """What callers over HTTP get as the body of an error that the handler raises; None for its status in JSON."""
    is_known: bool = True
    """There is such a method."""
    model: str = ""
    """The id of the model that answers, once it is asked."""
    generation: GenerationRequest | None = None
    """What is asked of the model; None for calls that ask nothing of it."""
    answer_id: str = ""
    """The server's own name for the answer, unique; empty while there is none."""
    started: Started | None = None
    finished: Finished | None = None
    first_delta: float | None = None
    """When the first piece of a streamed answer was there, in seconds of ``time.monotonic``."""
    delta_count: int = 0
    """Pieces of a streamed answer that were handed over, once it has ended in any way."""
    streamed_token_count: int = 0
    """Their tokens."""
    pieces: list[Delta] | None = None
    """The answer so far, where somebody keeps answers; else None."""
    user_id: str = ""
    """The caller's own name for whom it asks; empty where it gives none."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The caller's own names for where a request comes from."""


current_call: ContextVar[Call] = ContextVar("palaver_call")
"""Set for the time of a handler."""


def request_id_from(given: str | bytes | None) -> str:
    """The caller's own request id if it may stand in a log, else a new one."""
    if isinstance(given, str) and _ACCEPTABLE_ID.fullmatch(given):
        return given
    return _unique()


def new_answer_id(call: Call, kind: str) -> str:
    """Name the answer of a call ``chat-...`` or as ``kind`` says, and note it: two calls may share a request id."""
    call.answer_id = f"{kind}-{_unique()}"
    return call.answer_id


def _unique() -> str:
    return os.urandom(16).hex()


def deadline_of(context: Context) -> float | None:
    """When the caller gives up, on the event loop's clock; None for a caller who waits for ever."""
    remaining = context.time_remaining()
    return None if remaining is None else asyncio.get_running_loop().time() + remaining


def note_origin(call: Call, chat: chat_service_pb2.ChatRequest) -> None:
    """Note the caller's own names for where a request comes from."""
    call.user_id = chat.user_id
    call.labels = chat.labels


def note_generation(call: Call, generation: GenerationRequest, model: str) -> None:
    """Note what is asked of the model."""
    call.generation = generation
    call.model = model


def note_finished(call: Call, finished: Finished) -> None:
    """Note the figures of an answer."""
    call.finished = finished


def seconds_before_engine(call: Call) -> float:
    """From a call's arrival to the moment at which the engine took its request."""
    prepared = None if call.generation is None else call.generation.milestones.prepared
    return 0.0 if prepared is None else prepared - call.began
