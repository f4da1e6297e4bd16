"""How a scripted engine loads."""

from __future__ import annotations

import pytest

from palaver_server.core.engine import EngineStartError
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.model import LoadPhase, LoadProgress
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.engine import ScriptedEngine
from tests.scripted.asking import ask, now


async def test_a_load_takes_its_time_and_tells_its_progress() -> None:
    engine = ScriptedEngine(ScriptedBehaviour(load_seconds=10, context_length=100), model_id="parrot")
    assert (engine.description.model_id, engine.description.context_length) == ("parrot", None)
    reports: list[LoadProgress] = []
    await engine.load(reports.append)
    assert now() == pytest.approx(10)
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert list(dict.fromkeys(report.phase for report in reports)) == [
        LoadPhase.STARTING_ENGINE,
        LoadPhase.WARMING_UP,
    ]
    assert engine.description.context_length == 100
    assert engine.description.architecture == "ScriptedEngine"


async def test_a_load_that_must_fail_fails_with_its_sentence() -> None:
    engine = ScriptedEngine(ScriptedBehaviour(load_seconds=3, load_error="There is no parrot here."))
    with pytest.raises(EngineStartError, match=r"^There is no parrot here\.$"):
        await engine.load(lambda _: None)
    assert now() == pytest.approx(3)


async def test_nothing_is_answered_before_the_load() -> None:
    with pytest.raises(PalaverError) as caught:
        await ScriptedEngine().prepare(ask())
    assert caught.value.reason is Reason.ENGINE_UNAVAILABLE
