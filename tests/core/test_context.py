"""Which turns of a conversation may be left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from palaver_server.core.context import droppable_turns
from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.tools import ToolCall


def message(role: str, *, calls: tuple[str, ...] = (), answers: str = "") -> Message:
    return Message(Role(role), (TextPart(role),), tuple(ToolCall(call, "f", "{}") for call in calls), answers)


def test_a_turn_goes_from_a_users_message_to_the_next_and_the_last_one_stays():
    said = [message(role) for role in ("system", "user", "assistant", "user", "assistant", "user")]
    assert droppable_turns(said) == [(1, 2), (3, 4)]


def test_what_the_model_is_to_continue_belongs_to_the_last_turn():
    assert droppable_turns([message(role) for role in ("user", "assistant", "user", "assistant")]) == [(0, 1)]


def test_a_greeting_before_the_first_user_is_a_turn():
    assert droppable_turns([message(role) for role in ("system", "assistant", "user")]) == [(1,)]


def test_system_messages_in_the_middle_stay():
    assert droppable_turns([message(role) for role in ("user", "system", "assistant", "user")]) == [(0, 2)]


def test_a_call_and_its_answer_are_one_turn_even_when_the_user_speaks_between():
    said = [message("user"), message("assistant", calls=("1",)), message("user"), message("tool", answers="1")]
    assert droppable_turns([*said, message("user")]) == [(0, 1, 2, 3)]
    assert droppable_turns(said) == []  # the last turn has the answer, and so the call stays


def test_an_id_that_is_used_again_means_the_latest_call():
    again = [message("user"), message("assistant", calls=("1",)), message("tool", answers="1")]
    assert droppable_turns([*again, *again, *again]) == [(0, 1, 2), (3, 4, 5)]


MESSAGES = st.lists(
    st.one_of(
        st.sampled_from(["system", "user"]).map(message),
        st.lists(st.sampled_from("abc"), max_size=2).map(lambda calls: message("assistant", calls=tuple(calls))),
        st.sampled_from("abc").map(lambda call: message("tool", answers=call)),
    ),
    min_size=1,
    max_size=24,
)


@given(MESSAGES, st.data())
def test_whatever_is_left_out_rules_the_last_turn_and_answers_keep_their_place(said, data):
    turns = droppable_turns(said)
    dropped = {place for turn in turns[: data.draw(st.integers(0, len(turns)))] for place in turn}
    assert not any(said[place].role is Role.SYSTEM for place in dropped)
    users = [place for place, one in enumerate(said) if one.role is Role.USER]
    assert not users or users[-1] not in dropped
    for place, one in enumerate(said):
        if one.role is Role.TOOL:
            calls = [at for at in range(place) if any(call.id == one.tool_call_id for call in said[at].tool_calls)]
            assert not calls or (place in dropped) == (calls[-1] in dropped)
