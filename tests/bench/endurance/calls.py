"""The kinds of calls, and what each must come to."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from enum import StrEnum

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from palaver.v1 import chat_service_pb2, role_pb2
from palaver.v1.chat_service_pb2_grpc import ChatServiceStub

SECONDS = 120.0
"""No answer takes that long; a call that does has failed."""
SHORTEST, LONGEST = 8, 32
"""Output tokens of an answer that is read to its end."""
LEFT_TOKENS = 128
"""Output tokens of an answer whose reader leaves after the first."""
TOO_HOT = 9.0
TOO_LONG_WORDS = 20_000
QUESTIONS = ("Sing without end.", "Count to 21.", "Good morning!", "Tell me a story.")
NO_SUCH_MODEL = "no-such-model"


class Kind(StrEnum):
    """What a caller does."""

    UNARY = "unary"
    STREAMED = "streamed"
    CANCELLED = "cancelled"
    REFUSED = "refused"


SHARES = {Kind.UNARY: 0.4, Kind.STREAMED: 0.4, Kind.CANCELLED: 0.1, Kind.REFUSED: 0.1}
"""Of all calls."""


class Unexplained(Exception):  # noqa: N818  # it is no error of this program
    """A call came to something else than it must. The message says what."""


class TurnedAway(Exception):  # noqa: N818  # the caller comes again
    """The server had no room, and said when to come again: ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"come again in {seconds:g} seconds")
        self.seconds = seconds


class Caller:
    """Makes calls over one connection.

    Args:
        stub: of the server.
        seed: of what is asked.
    """

    def __init__(self, stub: ChatServiceStub, seed: int) -> None:
        self._stub = stub
        self._random = random.Random(seed)
        self._calls: dict[Kind, Callable[[], Awaitable[None]]] = {
            Kind.UNARY: self._unary,
            Kind.STREAMED: self._streamed,
            Kind.CANCELLED: self._cancelled,
            Kind.REFUSED: self._refused,
        }

    def draw(self) -> Kind:
        """The kind of the next call."""
        return self._random.choices(list(SHARES), list(SHARES.values()))[0]

    async def make(self, kind: Kind) -> None:
        """Make one call.

        Raises:
            TurnedAway: the server has no room now.
            Unexplained: the call did not come to what it must.
        """
        try:
            await self._calls[kind]()
        except grpc.aio.AioRpcError as error:
            code, reason, seconds = _told(error)
            if reason == "SERVER_OVERLOADED" and seconds is not None:
                raise TurnedAway(seconds) from None
            raise Unexplained(f"{kind}: {code} {reason}: {error.details()}") from error

    def _request(self, tokens: int | None = None) -> chat_service_pb2.ChatRequest:
        request = chat_service_pb2.ChatRequest()
        request.messages.add(role=role_pb2.ROLE_USER).content.add(text=self._random.choice(QUESTIONS))
        request.options.temperature = 0.0
        request.options.max_output_tokens = tokens or self._random.randint(SHORTEST, LONGEST)
        return request

    async def _unary(self) -> None:
        response = await self._stub.Chat(self._request(), timeout=SECONDS)
        if not response.choices or not response.usage.output_token_count:
            raise Unexplained(f"{Kind.UNARY}: an answer without a choice or without tokens")

    async def _streamed(self) -> None:
        asked = chat_service_pb2.StreamChatRequest(chat=self._request())
        events = [event async for event in self._stub.StreamChat(asked, timeout=SECONDS)]
        kinds = [event.WhichOneof("event") for event in events]
        if kinds[:1] != ["started"] or kinds[-1:] != ["finished"] or set(kinds[1:-1]) != {"delta"}:
            raise Unexplained(f"{Kind.STREAMED}: the events {', '.join(map(str, kinds))}")
        if not events[-1].finished.usage.output_token_count:
            raise Unexplained(f"{Kind.STREAMED}: an answer without tokens")

    async def _cancelled(self) -> None:
        asked = chat_service_pb2.StreamChatRequest(chat=self._request(LEFT_TOKENS))
        call = self._stub.StreamChat(asked, timeout=SECONDS)
        async for event in call:
            if event.HasField("delta"):
                call.cancel()
                break
        code = await call.code()
        # The answer may have ended before the server heard that its reader had left.
        if code not in (grpc.StatusCode.CANCELLED, grpc.StatusCode.OK):
            raise Unexplained(f"{Kind.CANCELLED}: {code.name}: {await call.details()}")

    async def _refused(self) -> None:
        request, code, reason = self._random.choice((self._too_hot, self._too_long, self._unknown_model))()
        try:
            await self._stub.Chat(request, timeout=SECONDS)
        except grpc.aio.AioRpcError as error:
            if _told(error)[:2] != (code, reason):
                raise
        else:
            raise Unexplained(f"{Kind.REFUSED}: answered what should have been refused with {reason}")

    def _too_hot(self) -> tuple[chat_service_pb2.ChatRequest, str, str]:
        request = self._request()
        request.options.temperature = TOO_HOT
        return request, "INVALID_ARGUMENT", "INVALID_FIELD"

    def _too_long(self) -> tuple[chat_service_pb2.ChatRequest, str, str]:
        request = self._request()
        request.messages[0].content[0].text = "la " * TOO_LONG_WORDS
        return request, "INVALID_ARGUMENT", "PROMPT_TOO_LONG"

    def _unknown_model(self) -> tuple[chat_service_pb2.ChatRequest, str, str]:
        request = self._request()
        request.model = NO_SUCH_MODEL
        return request, "NOT_FOUND", "MODEL_NOT_FOUND"


def _told(error: grpc.aio.AioRpcError) -> tuple[str, str, float | None]:
    """The status, the reason that stands in its details, and the seconds to wait where they are told."""
    reason, seconds = "", None
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            seconds = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
    return error.code().name, reason, seconds
