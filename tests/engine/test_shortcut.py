"""Pieces of an answer that go past vLLM's parser: as if they had not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.test_reading import CALLS, THOUGHTS, WORDS, ComposedReader, Reader

if TYPE_CHECKING:  # vLLM takes seconds to import
    from palaver_server.engine.vllm.answer.parsed_stage import ParsedStage


class Counted:
    """Counts what a stage's parser is asked to read."""

    def __init__(self, stage: ParsedStage) -> None:
        self.calls = 0
        parser = stage._parser
        read = parser.parse_delta

        def parse_delta(*given: Any, **named: Any) -> Any:
            self.calls += 1
            return read(*given, **named)

        parser.parse_delta = parse_delta  # type: ignore[method-assign]


TEXTS = st.builds(
    lambda thoughts, words, calls: thoughts + " ".join(words) + "\n".join(calls),
    THOUGHTS,
    st.lists(WORDS, min_size=1, max_size=4),
    CALLS,
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([Reader, ComposedReader]), TEXTS, st.lists(st.integers(0, 500), max_size=40))
def test_the_short_way_tells_what_the_parser_would(
    tokenizer: Any, kind: type[Reader], text: str, cuts: list[int]
) -> None:
    reader = kind(tokenizer)
    short, long = reader.stage(), reader.stage()
    long._shortcut = lambda _text, _token_ids: None

    outputs = reader.outputs(text, cuts, "stop", None)
    told = [(short.feed(output), long.feed(output)) for output in outputs]

    for one, other in told:
        if one is not None:
            one.tool_calls = tuple(replace(call, id="") for call in one.tool_calls)
        if other is not None:
            other.tool_calls = tuple(replace(call, id="") for call in other.tool_calls)
        assert one == other
    assert short.reasoning_token_count == long.reasoning_token_count


SPOKEN = "<think>\n" + "I think so. " * 100 + "</think>\n\n" + "And so it is. " * 100


@pytest.mark.parametrize("kind", [Reader, ComposedReader])
def test_a_parser_reads_next_to_nothing_of_a_plain_answer(tokenizer: Any, kind: type[Reader]) -> None:
    reader = kind(tokenizer)
    stage = reader.stage()
    counted = Counted(stage)
    outputs = reader.outputs(SPOKEN, tuple(range(5000)), "stop", None)

    told = [stage.feed(output) for output in outputs]

    assert len(told) > 400
    assert counted.calls < len(told) / 10, "each piece that the parser reads costs several times what the others do"
    assert len(stage._parser._stream_state.previous_text) < 100, "what is kept is copied for every piece"


def test_parsers_of_one_format_share_what_they_look_for(tokenizer: Any) -> None:
    from palaver_server.engine.vllm.answer.marks import remember_marks  # noqa: PLC0415

    remember_marks()
    reader = Reader(tokenizer)
    one, other = reader.stage()._parser, reader.stage()._parser

    assert one._engine._lexer._shape is other._engine._lexer._shape
