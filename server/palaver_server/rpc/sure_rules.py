"""The contract's rules as functions that are quickly asked, where one is known: true only where the rule holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import inf
from operator import ge, gt, le, lt
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from palaver.v1 import role_pb2

Holds = Callable[[Any], bool]

_SYSTEM, _USER, _ASSISTANT, _TOOL = (
    role_pb2.ROLE_SYSTEM,
    role_pb2.ROLE_USER,
    role_pb2.ROLE_ASSISTANT,
    role_pb2.ROLE_TOOL,
)
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")

EXPRESSIONS: dict[str, Holds] = {
    # Of a conversation that has a message.
    (
        "this.messages.size() == 0 || this.continue_final_message "
        "|| this.messages[this.messages.size() - 1].role in [2, 4]"
    ): lambda chat: chat.messages[-1].role in (_USER, _TOOL),
    (
        "this.messages.size() == 0 || !this.continue_final_message "
        "|| (this.messages[this.messages.size() - 1].role == 3 "
        "&& this.messages[this.messages.size() - 1].content.size() > 0 "
        "&& this.messages[this.messages.size() - 1].tool_calls.size() == 0)"
    ): lambda chat: not chat.continue_final_message,
    (
        "!has(this.tool_choice) || !has(this.tool_choice.tool_name) "
        "|| this.tools.exists(tool, tool.name == this.tool_choice.tool_name)"
    ): lambda chat: not chat.HasField("tool_choice"),
    "!has(this.tool_choice) || this.tool_choice.mode != 3 || this.tools.size() > 0": (
        lambda chat: not chat.HasField("tool_choice")
    ),
    "this != 'models/'": lambda model: model != "models/",
    "this.map(tool, tool.name).unique()": lambda tools: len({tool.name for tool in tools}) == len(tools),
    "this.matches('^[a-zA-Z0-9_.-]{1,128}$')": lambda name: _TOOL_NAME.fullmatch(name) is not None,
    # Of a message.
    "!(this.role in [1, 2]) || this.content.size() > 0": (
        lambda said: len(said.content) > 0 or said.role not in (_SYSTEM, _USER)
    ),
    "this.role == 3 || this.tool_calls.size() == 0": lambda said: said.role == _ASSISTANT or not said.tool_calls,
    "this.role == 3 || this.reasoning == ''": lambda said: said.role == _ASSISTANT or not said.reasoning,
    "this.role != 4 || this.tool_call_id != ''": lambda said: said.role != _TOOL or said.tool_call_id != "",
    "this.role == 4 || this.tool_call_id == ''": lambda said: said.role == _TOOL or not said.tool_call_id,
    # Of what is asked of an answer.
    (
        "!has(this.min_output_tokens) || !has(this.max_output_tokens) "
        "|| this.min_output_tokens <= this.max_output_tokens"
    ): lambda options: not options.HasField("min_output_tokens"),
    "this.logprob_token_ids.size() == 0 || this.top_logprobs == 0": lambda options: not options.logprob_token_ids,
    "!has(this.enabled) || this.enabled || !has(this.effort)": (
        lambda reasoning: reasoning.enabled or not reasoning.HasField("effort")
    ),
    "!has(this.enabled) || this.enabled || !has(this.budget_tokens)": (
        lambda reasoning: reasoning.enabled or not reasoning.HasField("budget_tokens")
    ),
    "this != 0": lambda value: value != 0,
}
"""By the text of an expression: whoever changes that, or adds one, has it interpreted again."""

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
_BYTES_A_CHARACTER = 4
"""At most, in UTF-8."""


def of_message(rules: validate_pb2.MessageRules) -> Holds | None:
    """What is asked of a message that a type has these rules for; None where that is not known."""
    if (said := _said(rules, "cel")) is None:
        return None
    return _all([EXPRESSIONS.get(rule.expression) for rule in said.get("cel", ())])


def of_field(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Holds | None:
    """What is asked of the value of a field that is set and has these rules; None where that is not known."""
    known: list[Holds | None] = []
    for part, value in rules.ListFields():
        if part.name == "cel":
            known += [EXPRESSIONS.get(rule.expression) for rule in value]
        elif part.name != "required":  # it is set
            known.append(_BY_KIND[part.name](field, value) if part.name in _BY_KIND else None)
    return _all(known)


def _text(_field: FieldDescriptor, rules: validate_pb2.StringRules) -> Holds | None:
    if (said := _said(rules, "min_len", "max_len", "max_bytes")) is None:
        return None
    least: int = said.get("min_len", 0)
    most: float = said.get("max_len", inf)
    most_bytes: float = said.get("max_bytes", inf)

    def holds(text: str) -> bool:
        length = len(text)
        return least <= length <= most and (
            length * _BYTES_A_CHARACTER <= most_bytes or len(text.encode()) <= most_bytes
        )

    return holds


def _number(_field: FieldDescriptor, rules: Message) -> Holds | None:
    if (said := _said(rules, *_COMPARISONS)) is None:
        return None
    low, high = said.get("gte", said.get("gt", -inf)), said.get("lte", said.get("lt", inf))
    if low > high:  # what lies outside is meant then
        return None
    if said.keys() <= {"gte", "lte"}:
        return lambda number: low <= number <= high
    return lambda number: all(_COMPARISONS[name](number, bound) for name, bound in said.items())


def _enum(field: FieldDescriptor, rules: validate_pb2.EnumRules) -> Holds | None:
    if field.enum_type is None or _said(rules, "defined_only") is None:
        return None
    return frozenset(field.enum_type.values_by_number).__contains__


def _list(field: FieldDescriptor, rules: validate_pb2.RepeatedRules) -> Holds | None:
    if (said := _said(rules, "min_items", "max_items", "items")) is None:
        return None
    least, most, of_each = said.get("min_items", 0), said.get("max_items", inf), _each(field, rules.items)
    if of_each is None:
        return None
    return lambda values: least <= len(values) <= most and all(map(of_each, values))


def _map(field: FieldDescriptor, rules: validate_pb2.MapRules) -> Holds | None:
    if (said := _said(rules, "max_pairs", "keys", "values")) is None:
        return None
    most, of_keys, of_values = said.get("max_pairs", inf), _each(field, rules.keys), _each(field, rules.values)
    if of_keys is None or of_values is None:
        return None
    return lambda pairs: len(pairs) <= most and all(map(of_keys, pairs)) and all(map(of_values, pairs.values()))


def _each(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Holds | None:
    """Of what is in a list or a map, which is there even if it is empty."""
    return None if rules.required else of_field(field, rules)


_BY_KIND: dict[str, Callable[[FieldDescriptor, Any], Holds | None]] = {
    "string": _text,
    "int32": _number,
    "double": _number,
    "enum": _enum,
    "repeated": _list,
    "map": _map,
}


def _said(rules: Message, *names: str) -> dict[str, Any] | None:
    """What rules say; None where they say anything but these."""
    said = {part.name: value for part, value in rules.ListFields()}
    return said if said.keys() <= set(names) else None


def _all(parts: Sequence[Holds | None]) -> Holds | None:
    """What holds where all of these do; None where one of them is not known."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if len(known) == 1:
        return known[0]

    def holds(value: object) -> bool:
        for part in known:  # noqa: SIM110  # ``all`` takes twice as long
            if not part(value):
                return False
        return True

    return holds if known else _anything


def _anything(_value: object) -> bool:
    return True
