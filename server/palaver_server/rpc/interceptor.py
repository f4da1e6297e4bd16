"""Around every call: its id, its client, its record, and the one place where an exception becomes a status."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import structlog

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.rpc.call import REQUEST_ID_KEY, TRANSCODED_KEY, Call, current_call, request_id_from
from palaver_server.rpc.call_record import record_of
from palaver_server.rpc.decoding import lenient_deserializer, raise_if_malformed
from palaver_server.rpc.entrance import Entrance
from palaver_server.rpc.errors import BODY_KEY, LAST_WORDS_SECONDS, TABLE, internal_error, trailing_metadata
from palaver_server.rpc.openai.errors import body_metadata
from palaver_server.telemetry.call_record import CallObserver

log = structlog.get_logger("palaver.calls")

# grpcio's published types describe the threaded API here; the asyncio one is the same by shape alone.
Handler = Any
Context = Any

_CODES = {code.value[0]: code for code in grpc.StatusCode}

LoadTrailers = Callable[[], tuple[tuple[str, bytes], ...]]

DEADLINE_SLACK_SECONDS = 0.1
"""A deadline travels as a duration, so the caller's clock ends first: its reset is here before our own time is up."""


@dataclass(frozen=True, slots=True)
class _Around:
    """What surrounds the calls of one listener."""

    entrance: Entrance | None
    observers: tuple[CallObserver, ...]
    keeps_answers: bool
    load_trailers: LoadTrailers | None


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps each method's handler once; a call then costs one context variable and one record, a message nothing.

    Args:
        entrance: checks keys and limits; None for a listener that asks nobody for a key.
        observers: are told of every call that has ended.
        keeps_answers: whether one of them looks at answers.
        load_trailers: what calls that asked for an answer tell of the server's load at their end.
    """

    def __init__(
        self,
        entrance: Entrance | None = None,
        observers: Sequence[CallObserver] = (),
        *,
        keeps_answers: bool = False,
        load_trailers: LoadTrailers | None = None,
    ) -> None:
        self._around = _Around(entrance, tuple(observers), keeps_answers, load_trailers)
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Return the wrapped handler of a method; an unknown one gets a handler that says so."""
        method = handler_call_details.method
        if (wrapped := self._wrapped.get(method)) is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None:
            return _unknown_method(method, self._around)
        wrapped = self._wrapped[method] = _wrap(handler, method, self._around)
        return wrapped


def _wrap(handler: Handler, method: str, around: _Around) -> Handler:
    deserializer = lenient_deserializer(handler.request_deserializer)
    serializer = handler.response_serializer
    if handler.request_streaming:
        answer_both = handler.stream_stream

        async def stream_stream(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            async with _call(method, context, around):
                async for response in answer_both(_well_formed(requests), context):
                    yield response

        return grpc.stream_stream_rpc_method_handler(stream_stream, deserializer, serializer)
    if not handler.response_streaming:
        answer_one = handler.unary_unary

        async def unary_unary(request: Any, context: Context) -> Any:
            async with _call(method, context, around):
                raise_if_malformed(request)
                return await answer_one(request, context)

        return grpc.unary_unary_rpc_method_handler(unary_unary, deserializer, serializer)
    answer_many = handler.unary_stream
    if inspect.isasyncgenfunction(answer_many):

        async def unary_generator(request: Any, context: Context) -> AsyncIterator[Any]:
            async with _call(method, context, around):
                raise_if_malformed(request)
                async for response in answer_many(request, context):
                    yield response

        return grpc.unary_stream_rpc_method_handler(unary_generator, deserializer, serializer)

    # A handler that writes to its context pays nothing here for each message: the token path is written so.
    async def unary_writer(request: Any, context: Context) -> None:
        async with _call(method, context, around):
            raise_if_malformed(request)
            await answer_many(request, context)

    return grpc.unary_stream_rpc_method_handler(unary_writer, deserializer, serializer)


async def _well_formed(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        raise_if_malformed(request)
        yield request


def _unknown_method(method: str, around: _Around) -> Handler:
    async def refuse(_requests: AsyncIterator[bytes], context: Context) -> None:
        async with _call(method, context, around, is_known=False):
            raise PalaverError(
                Reason.METHOD_NOT_FOUND, "There is no such method; server reflection lists those that exist."
            )

    return grpc.stream_stream_rpc_method_handler(refuse)


@asynccontextmanager
async def _call(method: str, context: Context, around: _Around, *, is_known: bool = True) -> AsyncIterator[None]:
    metadata = dict(context.invocation_metadata() or ())
    call = Call(method, request_id_from(metadata.get(REQUEST_ID_KEY)), context.peer())
    call.is_transcoded = TRANSCODED_KEY in metadata
    call.is_known = is_known
    if around.keeps_answers:
        call.pieces = []
    token = current_call.set(call)
    bound = structlog.contextvars.bind_contextvars(request_id=call.request_id)
    code, reason = grpc.StatusCode.OK, None
    try:
        if around.entrance is not None:
            around.entrance.enter(call, metadata)
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id), *call.trailers))
        yield
        if load := _load(call, around):
            context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id), *call.trailers, *load))
        code = _code_at_end(context)
    except PalaverError as error:
        code, reason = TABLE[error.reason].code, error.reason
        await _abort(context, call, error, _load(call, around))
    except grpc.aio.AbortError:
        code = _code_of(context)
        raise
    except (asyncio.CancelledError, GeneratorExit):
        code, reason = _ended_by_caller(context)
        raise
    except grpc.aio.InternalError:
        # A write that finds its reader gone; the cancellation that grpcio will send is only a moment behind.
        code, reason = _ended_by_caller(context)
        raise asyncio.CancelledError from None
    except Exception:
        code, reason = grpc.StatusCode.INTERNAL, Reason.INTERNAL
        log.exception("a handler failed", method=method)
        await _abort(context, call, internal_error(), _load(call, around))
    finally:
        record = record_of(call, code, reason, metadata)
        for observer in around.observers:
            observer.call_ended(record)
        structlog.contextvars.reset_contextvars(**bound)
        current_call.reset(token)


def _load(call: Call, around: _Around) -> tuple[tuple[str, bytes], ...]:
    return () if around.load_trailers is None or call.generation is None else around.load_trailers()


async def _abort(context: Context, call: Call, error: PalaverError, load: tuple[tuple[str, bytes], ...]) -> None:
    """End the call with the error's status; a body for HTTP callers goes with it while there is no answer yet."""
    metadata: tuple[tuple[str, str | bytes], ...] = (*trailing_metadata(error, call.request_id), *call.trailers, *load)
    if not call.has_answered:
        metadata += body_metadata(call.method, error)
    if call.error_body is not None:
        metadata += ((BODY_KEY, call.error_body),)
    try:
        async with asyncio.timeout(LAST_WORDS_SECONDS):
            await context.abort(TABLE[error.reason].code, error.message, metadata)
    except TimeoutError:
        # gRPC has the status, and sends it behind what the caller has not read yet; nobody need wait for that.
        raise asyncio.CancelledError from None


def _code_at_end(context: Context) -> grpc.StatusCode:
    """The code of a handler that returned: grpcio starts with UNKNOWN and makes it OK after us, unless it was set."""
    code = _code_of(context)
    return grpc.StatusCode.OK if code is grpc.StatusCode.UNKNOWN else code


def _code_of(context: Context) -> grpc.StatusCode:
    code = context.code()  # a number where grpcio set it, a member where a servicer did
    if isinstance(code, grpc.StatusCode):
        return code
    return _CODES.get(code, grpc.StatusCode.UNKNOWN)


def _ended_by_caller(context: Context) -> tuple[grpc.StatusCode, Reason]:
    remaining = context.time_remaining()
    if remaining is not None and remaining <= DEADLINE_SLACK_SECONDS:
        return grpc.StatusCode.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED, Reason.CANCELLED
