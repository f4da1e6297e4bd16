"""Whether the results of tools in a conversation belong to the calls in it.

A chat template shows a result beside its call, or by the call's name. What belongs to no call would be shown to the
model as something else, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from palaver_server.core.conversation import Message, Role
from palaver_server.core.errors import invalid_field


def check_results(messages: Sequence[Message], field_prefix: str) -> None:
    """See that calls of one message can be told apart, and that each result is the one result of an earlier call.

    A call may stay without a result, and its result may come later than in the next message. A later message may use
    an id again, as some models do; a result is then that of the latest call.

    Args:
        messages: the conversation, oldest message first.
        field_prefix: what stands before ``messages`` in the request.

    Raises:
        PalaverError: they do not; the id's field is named.
    """
    answered_at: dict[str, int | None] = {}  # by the id of a call so far: the place of its result
    for place, message in enumerate(messages):
        field = f"{field_prefix}messages[{place}]"
        if message.role is Role.TOOL:
            _check_result(message.tool_call_id, f"{field}.tool_call_id", answered_at)
            answered_at[message.tool_call_id] = place
        ids = [call.id for call in message.tool_calls]
        for number, call_id in enumerate(ids):
            if call_id in ids[:number]:
                raise invalid_field(
                    f"{field}.tool_calls[{number}].id", "must differ from the ids of the message's other calls"
                )
        answered_at.update(dict.fromkeys(ids))


def _check_result(call_id: str, field: str, answered_at: dict[str, int | None]) -> None:
    if call_id not in answered_at:
        raise invalid_field(field, "must be the id of a call in tool_calls of an earlier message")
    if (earlier := answered_at[call_id]) is not None:
        raise invalid_field(field, f"must be of a call that has no result yet; messages[{earlier}] has this one's")
