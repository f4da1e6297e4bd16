"""What a scripted engine says, and the limits of prompt and answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from palaver_server.core.conversation import Role
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Delta, Finished, FinishReason, Started
from palaver_server.core.generation import GenerationRequest, ResponseOptions
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from tests.scripted.asking import DEFAULTS, ask, collect, deltas_of, finished_of, loaded, said


async def test_the_last_user_message_is_repeated_a_word_a_delta() -> None:
    engine = await loaded()
    messages = said((Role.SYSTEM, "Be kind."), (Role.USER, "no"), (Role.USER, "yes, sir\n"), (Role.ASSISTANT, "Well"))
    events = await collect(engine, GenerationRequest("r1", "", messages, DEFAULTS, is_streamed=True))
    assert deltas_of(events) == [(0, "yes,", 1), (0, " sir\n", 1)]
    assert finished_of(events).choices[0].finish_reason is FinishReason.STOP


async def test_without_a_user_the_last_message_is_repeated() -> None:
    engine = await loaded()
    request = GenerationRequest("r1", "", said((Role.SYSTEM, "Be kind.")), DEFAULTS, is_streamed=False)
    assert deltas_of(await collect(engine, request)) == [(0, "Be kind.", 2)]


async def test_so_many_words_are_said_as_the_script_tells() -> None:
    engine = await loaded(ScriptedBehaviour(tokens=30))
    events = await collect(engine, ask())
    assert "".join(text for _, text, _ in deltas_of(events)).startswith("The quick brown fox")
    assert finished_of(events).usage.output_token_count == 30


async def test_an_answer_without_words_ends_at_once() -> None:
    events = await collect(await loaded(ScriptedBehaviour(tokens=0, first_seconds=5)), ask())
    assert [type(event) for _, event in events] == [Started, Finished]
    finished = finished_of(events)
    assert finished.usage.output_token_count == 0
    assert finished.timings.first_token_seconds is None


async def test_prompt_tokens_are_words_and_four_a_message() -> None:
    engine = await loaded()
    messages = said((Role.SYSTEM, "Be kind."), (Role.USER, " one\ttwo \n three "), (Role.USER, ""))
    request = GenerationRequest("r1", "", messages, DEFAULTS, is_streamed=True)
    assert (await engine.count_tokens(request)).prompt_token_count == 2 + 3 + 3 * 4
    assert finished_of(await collect(engine, request)).usage.prompt_token_count == 17


async def test_a_prompt_that_leaves_no_room_is_refused_and_still_counted() -> None:
    engine = await loaded(ScriptedBehaviour(context_length=9))
    assert (await engine.prepare(ask("one two three four"))).max_output_tokens == 1
    with pytest.raises(PalaverError) as caught:
        await engine.prepare(ask("one two three four five"))
    error = caught.value
    assert error.reason is Reason.PROMPT_TOO_LONG
    assert [violation.field for violation in error.violations] == ["chat.messages"]
    assert error.metadata == {"prompt_token_count": "9", "context_length": "9"}
    assert (await engine.count_tokens(ask("one two three four five"))).prompt_token_count == 9


async def test_more_output_than_the_context_is_long_is_refused_by_field() -> None:
    engine = await loaded(ScriptedBehaviour(context_length=20))
    with pytest.raises(PalaverError) as caught:
        await engine.prepare(ask(options=GenerationOptions(max_output_tokens=21)))
    assert caught.value.reason is Reason.INVALID_FIELD
    assert [violation.field for violation in caught.value.violations] == ["chat.options.max_output_tokens"]


@pytest.mark.parametrize(("asked", "effective"), [(None, 11), (20, 11), (11, 11), (3, 3)])
async def test_output_is_clamped_to_what_the_context_leaves(asked: int | None, effective: int) -> None:
    engine = await loaded(ScriptedBehaviour(context_length=20, tokens=100))
    events = await collect(engine, ask(options=GenerationOptions(max_output_tokens=asked)))
    assert events[0][1] == Started(9, effective)
    finished = finished_of(events)
    assert finished.choices[0].finish_reason is FinishReason.LENGTH
    assert finished.usage.output_token_count == effective


async def test_choices_say_the_same_interleaved() -> None:
    request = replace(
        ask("one two three", GenerationOptions(choice_count=2)), response_options=ResponseOptions(running_usage=True)
    )

    events = await collect(await loaded(), request)

    deltas = [event for _, event in events if isinstance(event, Delta)]
    assert [delta.choice_index for delta in deltas] == [0, 1] * 3
    assert [delta.usage.output_token_count for delta in deltas if delta.usage] == [2, 2, 4, 4, 6, 6]
    assert [delta.end for delta in deltas] == [None] * 4 + list(finished_of(events).choices)
    assert [end.choice_index for end in finished_of(events).choices] == [0, 1]
    assert finished_of(events).usage.output_token_count == 6


async def test_tokens_are_gathered_into_deltas() -> None:
    events = await collect(await loaded(), replace(ask("one two three four five six"), min_tokens_per_delta=2))

    assert [tokens for _, _, tokens in deltas_of(events)] == [1, 2, 2, 1]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokens", -1),
        ("interval_seconds", -0.1),
        ("first_seconds", float("nan")),
        ("load_seconds", float("inf")),
        ("context_length", 0),
        ("fail_after_tokens", -1),
        ("hang_after_tokens", -1),
        ("die_after_tokens", -1),
    ],
)
def test_a_script_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be"):
        ScriptedBehaviour(**{field: value})  # type: ignore[arg-type]


async def test_a_prompt_of_another_engine_is_refused() -> None:
    class Stranger:
        prompt_token_count = max_output_tokens = 1

    engine = await loaded()
    with pytest.raises(TypeError, match="Stranger"):
        await anext(engine.generate(Stranger()))
