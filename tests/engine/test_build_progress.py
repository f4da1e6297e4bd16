"""The progress of a build only grows, and claims no step that has not begun."""

from __future__ import annotations

import asyncio
import threading

from palaver_server.core.model import LoadPhase, LoadProgress
from palaver_server.engine.vllm.start.log_relay import ChildLine
from palaver_server.engine.vllm.start.progress import BUILT_FRACTION, BuildProgress, Step


async def test_steps_are_reported_in_their_order_from_whatever_thread() -> None:
    reports: list[LoadProgress] = []
    progress = BuildProgress(reports.append)

    def build() -> None:
        progress.reach(Step.CONFIGURATION)
        progress.reach(Step.ENGINE_CORE)
        progress.observe(ChildLine("Initializing a V1 LLM engine (v0.32.0) with config: ..."))
        progress.observe(ChildLine("Starting to load model /secret/path..."))
        progress.observe(ChildLine("Loading safetensors checkpoint shards:  50% Completed | 2/4 [00:01<00:01]"))
        progress.reach(Step.CONFIGURATION)  # late news of a step that is past
        progress.observe(ChildLine("Loading weights took 0.25 seconds"))

    thread = threading.Thread(target=build)
    thread.start()
    await asyncio.to_thread(thread.join)
    await asyncio.sleep(0)

    fractions = [report.fraction for report in reports]
    assert fractions == sorted(set(fractions))
    assert [report.detail for report in reports] == [
        "reading the model's configuration",
        "starting the engine",
        "starting the workers",
        "loading the weights",
        "loading the weights",
        "preparing the KV cache",
    ]
    assert [report.phase for report in reports] == [
        *[LoadPhase.STARTING_ENGINE] * 3,
        *[LoadPhase.LOADING_WEIGHTS] * 2,
        LoadPhase.PREPARING_ENGINE,
    ]
    half = (Step.WEIGHTS.begins_at + Step.WEIGHTS.ends_at) / 2
    assert abs(fractions[4] - half) < 0.01


async def test_the_clock_moves_the_progress_and_never_into_the_next_step() -> None:
    reports: list[LoadProgress] = []
    progress = BuildProgress(reports.append)
    progress._began -= 3600

    running = asyncio.create_task(progress.run())
    while not reports:
        await asyncio.sleep(0)
    running.cancel()

    assert 0.9 * Step.IMPORT.ends_at < reports[-1].fraction <= Step.IMPORT.ends_at


def test_every_step_ends_where_the_next_begins() -> None:
    steps = list(Step)

    assert [step.ends_at for step in steps] == [*(step.begins_at for step in steps[1:]), BUILT_FRACTION]
