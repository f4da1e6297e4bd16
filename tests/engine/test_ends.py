"""Several choices of one answer end at different times, and each says so then."""

from __future__ import annotations

import pytest

from palaver_server.core.events import Delta, Finished
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import say

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]


async def test_each_of_several_choices_tells_its_end_when_it_ends(engine: VllmEngine) -> None:
    request = say("Write a word.", choice_count=3, temperature=1.0, seed=5, max_output_tokens=24, stop_sequences=("a",))
    events = [event async for event in engine.generate(await engine.prepare(request))]
    finished = events[-1]
    assert isinstance(finished, Finished)
    ends = {}
    for event in events:
        if isinstance(event, Delta):
            assert event.choice_index not in ends, "a choice has ended and goes on"
            if event.end is not None:
                ends[event.choice_index] = event.end
    assert tuple(end for _, end in sorted(ends.items())) == finished.choices
