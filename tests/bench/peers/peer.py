"""What a competitor is. Each has one file in this folder, and one line in ``peers``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tests.bench.clocks import Processes
from tests.bench.plan import Ask, EngineName, Plan
from tests.bench.processes import Launcher


@dataclass(slots=True)
class Answer:
    """One answer, as its reader saw it."""

    began: float
    """When the request was sent; all times are of ``time.perf_counter``."""
    chunk_times: list[float]
    """When each piece of text came. What carries no text, such as a first event that only accepts, is not one."""
    prompt_tokens: int
    output_tokens: int
    """As the engine counts them."""


class Client(Protocol):
    """Asks a peer, in the load process."""

    async def answer(self, ask: Ask) -> Answer:
        """Ask at temperature 0, read the stream to its end, note when its pieces come. Does no more than that."""

    def processes(self) -> Processes:
        """Who works for the answers."""

    async def close(self) -> None:
        """End what ``connect`` has opened."""


class Peer(Protocol):
    """A competitor."""

    @property
    def engines(self) -> tuple[EngineName, ...]:
        """What it can serve."""

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start its processes and wait until they answer. Runs in the benchmark's own process.

        Returns:
            What ``connect`` needs to find them; empty for a peer that is started by ``connect`` itself.
        """

    async def connect(self, plan: Plan, found: str) -> Client:
        """Connect. Runs in the load process."""
