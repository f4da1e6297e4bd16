"""Runs the rules that are written in the protos, and says what broke them by the path that the caller wrote."""

from __future__ import annotations

from buf.validate import validate_pb2
from google.protobuf.message import Message
from protovalidate import Validator, Violation

from palaver.v1 import chat_service_pb2, model_service_pb2, openai_service_pb2
from palaver_server.core.errors import FieldViolation, PalaverError, Reason, invalid_field
from palaver_server.rpc.support import refuse_unsupported

MAX_REPORTED = 16
"""Violations told of one request; more help nobody."""

_validator = Validator()


def check(request: Message) -> None:
    """Refuse what the server does not do, then what the contract does not allow.

    Raises:
        PalaverError: ``FIELD_NOT_SUPPORTED`` or ``INVALID_FIELD``, with the path of each field.
    """
    refuse_unsupported(request)
    _refuse_long_lists(request)
    violations = [_translated(violation) for violation in _validator.collect_violations(request)[:MAX_REPORTED]]
    if violations:
        first = violations[0]
        raise PalaverError(Reason.INVALID_FIELD, f"{first.field}: {first.description}", violations=violations)


def _refuse_long_lists(request: Message, prefix: str = "") -> None:
    """See that lists are no longer than the contract has them, before its other rules go through them.

    A rule that compares every item with every other gives up at some thousands, with an error that names no field.

    Raises:
        PalaverError: ``INVALID_FIELD``.
    """
    for field, value in request.ListFields():
        if field.is_repeated:
            most = field.GetOptions().Extensions[validate_pb2.field].repeated.max_items
            if most and len(value) > most:
                raise invalid_field(f"{prefix}{field.name}", f"must contain no more than {most} item(s)")
        elif field.name == "chat":
            _refuse_long_lists(value, f"{prefix}{field.name}.")


def _translated(violation: Violation) -> FieldViolation:
    path = ""
    for element in violation.proto.field.elements if violation.proto.field else ():
        path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            path += f"[{subscript.value}]"
    # A rule about several fields of a message carries the message's path; its id begins with the field to blame.
    blamed, dot, _ = violation.proto.rule_id.partition(".")
    if violation.proto.rule is None and dot:
        path = f"{path}.{blamed}" if path else blamed
    return FieldViolation(path, violation.proto.message)


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
