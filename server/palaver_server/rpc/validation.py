"""Runs the rules that are written in the protos, and says what broke them by the path that the caller wrote."""

from __future__ import annotations

import asyncio

from google.protobuf.message import Message
from protovalidate import Validator, Violation

from palaver.v1 import chat_service_pb2, model_service_pb2, openai_service_pb2
from palaver_server.core.errors import FieldViolation, PalaverError, Reason
from palaver_server.rpc.bounds import count_elements
from palaver_server.rpc.conversation import conversation_of
from palaver_server.rpc.shapes import Shapes, shape_of
from palaver_server.rpc.support import refuse_unsupported
from palaver_server.rpc.turns import turn

MAX_REPORTED = 16
"""Violations told of one request; more help nobody."""
MAX_KEY_CHARACTERS = 128
"""Of a map's key in a path; a caller may have made it as long as it likes."""
ELEMENTS_AT_ONCE = 256
"""What is checked without a pause. Some 5 ms, in which no token of anybody passes."""

_validator = Validator()
_passed = Shapes()


async def check(request: Message) -> None:
    """Refuse what is too much, then what the server does not do, then what the contract does not allow.

    A long conversation is checked message by message, and everybody else's calls go on in between.

    Raises:
        PalaverError: ``FIELD_NOT_SUPPORTED`` or ``INVALID_FIELD``, with the path of each field.
    """
    if count_elements(request) <= ELEMENTS_AT_ONCE:
        if not _passed.have(shape := shape_of(request)):
            refuse_unsupported(request)
            _refuse(_violations(request))
            _passed.add(shape)
        return
    async with turn():
        await _check_in_pieces(request)


async def _check_in_pieces(request: Message) -> None:
    rest = type(request)()
    rest.CopyFrom(request)
    chat = _chat(rest)
    prefix = "" if chat is rest else "chat."
    last = chat_service_pb2.ChatRequest(messages=chat.messages[-1:])
    del chat.messages[:]
    refuse_unsupported(rest)
    chat.messages.MergeFrom(last.messages)  # the rules about a conversation look at its end
    found = _violations(rest)
    _refuse([violation for violation in found if not violation.field.startswith(f"{prefix}messages[")])
    unpaused = 0
    for index, message in enumerate(_chat(request).messages):
        path = f"{prefix}messages[{index}]."
        refuse_unsupported(message, path)
        _refuse(_violations(message, path))
        unpaused += 1 + len(message.content) + len(message.tool_calls)
        if unpaused >= ELEMENTS_AT_ONCE:
            unpaused = 0
            await asyncio.sleep(0)


def _chat(request: Message) -> chat_service_pb2.ChatRequest:
    """The conversation, which alone has so many elements."""
    if (conversation := conversation_of(request)) is not None:
        return conversation
    raise TypeError(f"{type(request).__name__} has no conversation")


def _violations(message: Message, prefix: str = "") -> list[FieldViolation]:
    found = _validator.collect_violations(message)
    return [_translated(violation, prefix) for violation in found[:MAX_REPORTED]]


def _refuse(violations: list[FieldViolation]) -> None:
    if violations:
        first = violations[0]
        raise PalaverError(Reason.INVALID_FIELD, f"{first.field}: {first.description}", violations=violations)


def _translated(violation: Violation, prefix: str) -> FieldViolation:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            path += f"[{_shown(subscript.value)}]"
    # A rule about several fields of a message carries the message's path; its id begins with the field to blame.
    blamed, dot, _ = violation.proto.rule_id.partition(".")
    if violation.proto.rule is None and dot:
        path = f"{path}.{blamed}" if path else blamed
    return FieldViolation(f"{prefix}{path}", violation.proto.message)


def _shown(subscript: object) -> str:
    """An index, or a key that a caller may have made as long as it likes."""
    text = str(subscript)
    return text if len(text) <= MAX_KEY_CHARACTERS else f"{text[:MAX_KEY_CHARACTERS]}..."


def warm_up() -> None:
    """Compile the contract's rules now, tens of milliseconds, so that the first caller does not wait for it."""
    for message in (
        chat_service_pb2.ChatRequest(),
        chat_service_pb2.StreamChatRequest(),
        chat_service_pb2.CountTokensRequest(),
        chat_service_pb2.ExplainChatRequest(),
        model_service_pb2.ListModelsRequest(),
        model_service_pb2.GetModelRequest(),
        openai_service_pb2.GetOpenAIModelRequest(),
    ):
        _validator.collect_violations(message)
