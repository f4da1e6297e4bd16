"""However vLLM's outputs are cut, and however many tokens come at once, stop strings cut the same text off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from palaver_server.core.answer import WholeAnswer
from tests.engine.outputs import pieces_of
from tests.engine.test_reading import Reader

# Few characters make many meetings; the wide ones are several tokens of this tokenizer each.
TEXTS = st.text(alphabet="aab \n\u2003\N{GRINNING FACE}\N{HIRAGANA LETTER A}", max_size=40) | st.text(max_size=20)
STOPS = st.lists(st.text(alphabet="aab \n\N{GRINNING FACE}", min_size=1, max_size=6), max_size=4)
Cuts = tuple[Sequence[int], Sequence[int]]
"""Where steps begin, and which of them are held back."""
CUTS = st.tuples(st.lists(st.integers(0, 400), max_size=12), st.lists(st.integers(0, 12), max_size=12))


def text_before(text: str, stops: Sequence[str]) -> str:
    """What is left of a text by the stop string that is complete first; of several, by the first of the list."""
    for end in range(1, len(text) + 1):
        for stop in stops:
            if text[:end].endswith(stop):
                return text[: end - len(stop)]
    return text


def outputs(tokenizer: Any, ids: Sequence[int], stops: list[str], cuts: Cuts = ((), ())) -> Iterator[Any]:
    """What vLLM gives out: tokens come in steps, and those of some steps are told with the next."""
    from vllm.sampling_params import SamplingParams  # noqa: PLC0415
    from vllm.v1.engine.detokenizer import IncrementalDetokenizer  # noqa: PLC0415

    params = SamplingParams(stop=stops, skip_special_tokens=False)
    asked: Any = SimpleNamespace(request_id="a", sampling_params=params, prompt_token_ids=[5], prompt_embeds=None)
    detokenizer = IncrementalDetokenizer.from_new_request(tokenizer, asked)
    held: list[int] = []
    pieces = pieces_of(ids, cuts[0])
    for number, piece in enumerate(pieces):
        stop = detokenizer.update(list(piece), stop_terminated=False)
        held += piece
        is_last = stop is not None or number == len(pieces) - 1
        if not is_last and number in cuts[1]:
            continue
        yield SimpleNamespace(
            index=0,
            text=detokenizer.get_next_output_text(finished=is_last, delta=True),
            token_ids=held,
            logprobs=None,
            finish_reason="stop" if is_last else None,
            stop_reason=stop,
        )
        if is_last:
            return
        held = []


def whole_text(stage: Any, completions: Iterator[Any]) -> str:
    answer = WholeAnswer()
    for completion in completions:
        if (delta := stage.feed(completion)) is not None:
            answer.add(delta)
    return answer[0].text


@given(text=TEXTS, stops=STOPS, cuts=CUTS)
@example(text="abab aba", stops=["abac", "b a", " a"], cuts=([1, 2, 3, 4, 5, 6, 7], []))
@example(text="a\N{GRINNING FACE}b", stops=["\N{GRINNING FACE}"], cuts=(list(range(9)), [0, 2]))
def test_any_pieces_of_any_text_with_any_stop_strings_are_the_same_text(
    tokenizer: Any, text: str, stops: list[str], cuts: Cuts
) -> None:
    from palaver_server.engine.vllm.answer.delta_stage import DeltaStage  # noqa: PLC0415

    ids = tokenizer.encode(text, add_special_tokens=False)
    found = whole_text(DeltaStage(), outputs(tokenizer, ids, stops, cuts))
    assert found == text_before(tokenizer.decode(ids, skip_special_tokens=False), stops)


@pytest.fixture(scope="module")
def reader(tokenizer: Any) -> Reader:
    return Reader(tokenizer)


@given(text=TEXTS, stops=STOPS, cuts=CUTS)
def test_reading_thoughts_and_calls_changes_nothing_of_that(
    tokenizer: Any, reader: Reader, text: str, stops: list[str], cuts: Cuts
) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    found = whole_text(reader.stage(), outputs(tokenizer, ids, stops, cuts))
    assert found == whole_text(reader.stage(), outputs(tokenizer, ids, stops))
