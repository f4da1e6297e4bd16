"""What a scripted engine says: compared with a plain reference for any text, stop sequences and limits."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.events import Delta, Event, Finished, FinishReason, Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import ScriptedEngine
from palaver_server.engine.scripted.stop_filter import StopFilter
from palaver_server.engine.scripted.words import split_words, write_words

# Few characters make many meetings of text and stop sequences; the last two are odd white space and a wide character.
TEXTS = st.text(alphabet="aab \n\u2003\N{GRINNING FACE}", max_size=40) | st.text(max_size=20)
STOPS = st.lists(st.text(alphabet="aab \n", min_size=1, max_size=6), max_size=4).map(tuple)


def words_of(text: str) -> list[str]:
    """Cut before each white space that follows a word, but not before that at the end."""
    words: list[str] = []
    for index, char in enumerate(text):
        is_cut = index > 0 and char.isspace() and not text[index - 1].isspace() and text[index:].strip()
        if is_cut or not words:
            words.append("")
        words[-1] += char
    return words


def answer_of(text: str, stops: tuple[str, ...], most: int) -> tuple[str, FinishReason, str | None, int]:
    """The text, the reason, the stop sequence and the number of tokens, told the slow and obvious way."""
    words = words_of(text)
    written = "".join(words[:most])
    ends = list(accumulate(len(word) for word in words))
    for end in range(1, len(written) + 1):
        matches = [stop for stop in stops if written[:end].endswith(stop)]
        if matches:
            stop = max(matches, key=len)
            tokens = next(index for index, word_end in enumerate(ends) if word_end >= end) + 1
            return written[: end - len(stop)], FinishReason.STOP, stop, tokens
    reason = FinishReason.STOP if len(words) <= most else FinishReason.LENGTH
    return written, reason, None, min(len(words), most)


async def answer(text: str, options: GenerationOptions, *, is_streamed: bool = True) -> list[Event]:
    engine = ScriptedEngine(ScriptedBehaviour())
    await engine.load(lambda _: None)
    message = Message(Role.USER, (TextPart(text),))
    request = GenerationRequest("r1", "", (message,), options, is_streamed)
    return [event async for event in engine.generate(await engine.prepare(request))]


@given(TEXTS, STOPS, st.integers(1, 12), st.booleans())
@example("a b", ("a b",), 2, True)
@example("abab aba", ("abac", "b a", " a"), 9, True)
@example(" \n ", (), 1, True)
@example("", ("a",), 1, False)
async def test_an_answer_is_what_the_reference_says(
    text: str, stops: tuple[str, ...], most: int, is_streamed: bool
) -> None:
    events = await answer(
        text, GenerationOptions(max_output_tokens=most, stop_sequences=stops), is_streamed=is_streamed
    )
    expected_text, reason, stop, tokens = answer_of(text, stops, most)
    started, *deltas, finished = events
    assert isinstance(started, Started)
    assert started.max_output_tokens == most
    assert isinstance(finished, Finished)
    assert (finished.choices[0].finish_reason, finished.choices[0].stop_sequence) == (reason, stop)
    assert finished.usage.output_token_count == tokens
    texts = [delta.text for delta in deltas if isinstance(delta, Delta)]
    assert "".join(texts) == expected_text
    assert len(texts) == len(deltas)
    assert all(texts), "no delta is empty"
    if not is_streamed:
        assert len(texts) <= 1


@given(TEXTS, STOPS, st.lists(st.integers(1, 5)))
async def test_a_part_of_a_stop_sequence_never_leaks_however_the_text_is_cut(
    text: str, stops: tuple[str, ...], sizes: list[int]
) -> None:
    expected, _, stop, _ = answer_of(text, stops, 10**6)
    stop_filter = StopFilter(stops)
    given_out, rest = "", text
    for size in [*sizes, len(text)]:
        piece, rest = rest[:size], rest[size:]
        given_out += stop_filter.feed(piece)
        assert expected.startswith(given_out), "what went out is part of the final answer"
        if stop_filter.matched is not None:
            break
    assert stop_filter.matched == stop
    assert given_out + stop_filter.flush() == expected
    assert not any(stop in expected for stop in stops)


@given(TEXTS)
def test_words_make_the_text_again(text: str) -> None:
    assert list(split_words(text)) == words_of(text)


@pytest.mark.parametrize("size", [100_000])
@pytest.mark.parametrize("char", [" ", "a", "a ", " a", "a  "])
@pytest.mark.timeout(5)
def test_cutting_takes_time_in_proportion_to_the_text(char: str, size: int) -> None:
    text = char * size
    assert "".join(split_words(text)) == text


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_so_many_words_are_written_as_were_asked_for(count: int) -> None:
    written = list(write_words(count))
    assert len(written) == count
    assert len("".join(written).split()) == count
    assert list(split_words("".join(written))) == written


async def test_tokens_held_back_are_counted_when_their_text_goes_out() -> None:
    events = await answer("one two three four", GenerationOptions(stop_sequences=(" two three five",)))
    assert events[1:-1] == [Delta("one", 1), Delta(" two three four", 3)]


async def test_the_stop_sequence_counts_as_output_and_is_named() -> None:
    *_, delta, finished = await answer("one two three", GenerationOptions(stop_sequences=("x", "wo thr")))
    assert delta == Delta(" t", 1)
    assert isinstance(finished, Finished)
    assert finished.choices[0].stop_sequence == "wo thr"
    assert finished.usage.output_token_count == 3


async def test_sampling_options_and_seed_change_nothing() -> None:
    plain = await answer("one two three", GenerationOptions())
    warm = await answer(
        "one two three",
        GenerationOptions(
            temperature=2,
            top_p=0.1,
            top_k=3,
            min_p=0.5,
            presence_penalty=1,
            frequency_penalty=1,
            repetition_penalty=2,
            seed=7,
        ),
    )
    assert plain == warm
