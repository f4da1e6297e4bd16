"""A conversation as callers write it, as the contract's messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from palaver.v1 import content_part_pb2, message_pb2, role_pb2, tool_call_pb2
from palaver_client._naming import naming
from palaver_client.options import MessageLike, Prompt
from palaver_client.tool_call import ToolCall

_ROLES = {name.removeprefix("ROLE_").lower(): number for name, number in role_pb2.Role.items() if number}
_KEYS = frozenset({"role", "content", "name", "reasoning", "tool_calls", "tool_call_id"})


def _text_message(role: role_pb2.Role.ValueType, text: str) -> message_pb2.Message:
    """A message that says one text."""
    return message_pb2.Message(role=role, content=[content_part_pb2.ContentPart(text=text)])


def _call_from(call: tool_call_pb2.ToolCall | ToolCall) -> tool_call_pb2.ToolCall:
    if isinstance(call, ToolCall):
        return tool_call_pb2.ToolCall(id=call.id, name=call.name, arguments_json=call.arguments_json)
    return call


def messages_from(prompt: Prompt, system: str | None = None) -> list[message_pb2.Message]:
    """The messages of a prompt, after a system message where there is a ``system``.

    Raises:
        TypeError: something is no message; the error says which.
        ValueError: a message has a key or role that there is not, or text that is no Unicode.
    """
    messages = []
    if system is not None:
        with naming("system"):
            messages.append(_text_message(role_pb2.ROLE_SYSTEM, system))
    if isinstance(prompt, str):
        with naming("messages"):
            messages.append(_text_message(role_pb2.ROLE_USER, prompt))
        return messages
    turns = [prompt] if isinstance(prompt, message_pb2.Message | Mapping) else prompt
    if not isinstance(turns, Iterable):
        raise TypeError(f"messages: expected text, a message or a sequence of messages, not {type(prompt).__name__}")
    for index, turn in enumerate(turns):
        with naming(f"messages[{index}]"):
            messages.append(_message_from(turn))
    return messages


def _message_from(given: MessageLike) -> message_pb2.Message:
    if isinstance(given, message_pb2.Message):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"expected a message or a mapping with role and content, not {type(given).__name__}")
    if unknown := sorted(given.keys() - _KEYS):
        raise ValueError(f"there is no key {unknown[0]!r}; those there are: {', '.join(sorted(_KEYS))}")
    role = given.get("role")
    if role not in _ROLES:
        raise ValueError(f"role must be one of {', '.join(_ROLES)}, not {role!r}")
    text = given.get("content")
    return message_pb2.Message(
        role=_ROLES[role],
        content=[] if text is None else [content_part_pb2.ContentPart(text=text)],
        name=given.get("name", ""),
        reasoning=given.get("reasoning", ""),
        tool_calls=[_call_from(call) for call in given.get("tool_calls", ())],
        tool_call_id=given.get("tool_call_id", ""),
    )
