"""How far a build is: steps that have begun for certain, and an estimate by the clock between them."""

from __future__ import annotations

import asyncio
import math
import re
import time
from enum import Enum, unique

from palaver_server.core.engine import ReportProgress
from palaver_server.core.model import LoadPhase, LoadProgress
from palaver_server.engine.vllm.start.log_relay import ChildLine

TICK_SECONDS = 0.5
"""Between two estimates."""
BUILT_FRACTION = 0.95
"""What is left is the warm-up."""


@unique
class Step(Enum):
    """A step: where in the load it begins, about how long it takes, what it is.

    The shares and times are those of a small model on two cores, where a start takes 30 seconds. A large model spends
    its time in ``WEIGHTS``, whose progress vLLM tells.
    """

    IMPORT = (0.0, 10.0, "importing vLLM")
    CONFIGURATION = (0.30, 0.5, "reading the model's configuration")
    ENGINE_CORE = (0.33, 11.0, "starting the engine")
    WORKERS = (0.62, 9.0, "starting the workers")
    WEIGHTS = (0.86, 2.0, "loading the weights")
    KV_CACHE = (0.93, 1.0, "preparing the KV cache")

    @property
    def phase(self) -> LoadPhase:
        """What callers are told."""
        return _PHASES.get(self.name, LoadPhase.STARTING_ENGINE)

    def __init__(self, begins_at: float, seconds: float, detail: str) -> None:
        self.begins_at = begins_at
        self.seconds = seconds
        self.detail = detail

    @property
    def ends_at(self) -> float:
        """Where the next step begins."""
        return min((step.begins_at for step in Step if step.begins_at > self.begins_at), default=BUILT_FRACTION)


_PHASES = {"WEIGHTS": LoadPhase.LOADING_WEIGHTS, "KV_CACHE": LoadPhase.PREPARING_ENGINE}
CHILD_SIGNS = {
    "Initializing a V1 LLM engine": Step.WORKERS,
    "Starting to load model": Step.WEIGHTS,
    "Loading weights took": Step.KV_CACHE,
}
"""The beginnings of vLLM's log messages that tell of a step. Where they change, the progress only becomes coarser."""
WEIGHTS_SHARE = re.compile(r"Loading .*checkpoint shards:\s+(\d+)% Completed")


class BuildProgress:
    """Reports the progress of one build, on the event loop, whatever thread it is told in."""

    def __init__(self, report: ReportProgress) -> None:
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._step = Step.IMPORT
        self._began = time.monotonic()
        self._known_share = 0.0
        self._reported = -1.0

    def reach(self, step: Step) -> None:
        """Take note that a step has begun. From any thread; a step that is past already changes nothing."""
        self._loop.call_soon_threadsafe(self._enter, step)

    def observe(self, line: ChildLine) -> None:
        """Read the progress out of what a child process says. From any thread."""
        for sign, step in CHILD_SIGNS.items():
            if line.text.startswith(sign):
                self.reach(step)
        if share := WEIGHTS_SHARE.match(line.text):
            self._loop.call_soon_threadsafe(self._know_share, int(share[1]) / 100)

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            self._tell()
            await asyncio.sleep(TICK_SECONDS)

    def _enter(self, step: Step) -> None:
        if step.begins_at > self._step.begins_at:
            self._step = step
            self._began = time.monotonic()
            self._known_share = 0.0
            self._tell()

    def _know_share(self, share: float) -> None:
        if self._step is Step.WEIGHTS:
            self._known_share = share
            self._tell()

    def _tell(self) -> None:
        # The estimate slows down as it goes and never claims the next step.
        by_the_clock = 1 - math.exp(-(time.monotonic() - self._began) / self._step.seconds)
        share = self._known_share or by_the_clock
        fraction = self._step.begins_at + share * (self._step.ends_at - self._step.begins_at)
        if fraction > self._reported:
            self._reported = fraction
            self._report(LoadProgress(self._step.phase, fraction, self._step.detail))
