from __future__ import annotations

from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.tool_results import check_results
from palaver_server.core.tools import ToolCall

USER = Message(Role.USER, (TextPart("And now?"),))


def calling(*ids: str) -> Message:
    return Message(Role.ASSISTANT, (), tuple(ToolCall(one, "f", "{}") for one in ids))


def result(call_id: str) -> Message:
    return Message(Role.TOOL, (TextPart("sunny"),), tool_call_id=call_id)


def test_results_may_come_in_any_order_and_late() -> None:
    check_results([USER, calling("a", "b"), result("b"), USER, result("a")], "")


def test_a_call_may_stay_without_a_result() -> None:
    check_results([USER, calling("a"), USER, calling("b"), result("b")], "")


def test_an_id_may_be_used_again_in_a_later_turn() -> None:
    check_results([USER, calling("a"), result("a"), calling("a"), result("a")], "")
