"""Alerts of a real Prometheus, driven by real faults of running servers: each fires, and each resolves.

Prints a table of what happened (``-s``): alert, fault, fired after, resolved after.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.edge.agreement.calls import Caller
from tests.edge.agreement.mix import metrics_address
from tests.edge.conftest import Pair, StartPair
from tests.edge.watched import faults
from tests.edge.watched.prometheus import Prometheus, until, watching

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(420)]

METRICS = ("--metrics-listen", "127.0.0.1:0")
FULL = (*METRICS, "--max-concurrent-requests", "2", "--max-queued-requests", "0", "--scripted-interval", "0.05")
HANGING = (*METRICS, "--scripted-hang-after", "20")
LOAD_SECONDS = 35
"""Above the ten minutes, in a hurry, after which a model that is not loaded is told."""
SLOW = (
    *(*METRICS, "--max-concurrent-requests", "200", "--scripted-load", str(LOAD_SECONDS)),
    *("--scripted-first", "0.7", "--scripted-fail-after", "20"),
)


@dataclass
class Drill:
    """One fault, and the alerts that it must fire."""

    what: str
    fault: AbstractAsyncContextManager[None]
    alerts: tuple[str, ...]
    rows: list[tuple[str, str, float, float]]

    async def run(self, prometheus: Prometheus) -> None:
        """Let it happen until all alerts fire, mend it, and wait until none does."""
        fired: dict[str, float] = {}
        async with self.fault:

            async def fire(alert: str) -> None:
                wait = until, lambda: alert in prometheus.firing(), f"{alert} fires", 180
                fired[alert] = await asyncio.to_thread(*wait)

            await asyncio.gather(*(fire(alert) for alert in self.alerts))

        async def resolve(alert: str) -> None:
            wait = until, lambda: alert not in prometheus.firing(), f"{alert} resolves", 60
            self.rows.append((alert, self.what, fired[alert], await asyncio.to_thread(*wait)))

        await asyncio.gather(*(resolve(alert) for alert in self.alerts))


@contextlib.asynccontextmanager
async def loading(pair: Pair) -> AsyncIterator[None]:
    """The model is loading from the start of the server on; it is ready before the block ends."""
    yield
    await asyncio.to_thread(pair.event, "ready", 120)


async def test_every_fault_fires_its_alert_and_its_end_resolves_it(start_pair: StartPair, tmp_path: Path) -> None:
    chain, key = faults.make_certificate(tmp_path, 1)
    files = ("--edge-cert", str(chain), "--edge-key", str(key), "--audit-dir", str(tmp_path / "audit"))
    full, hanging = start_pair(*FULL, *files), start_pair(*HANGING)
    slow = start_pair(*SLOW, wait_for="edge listening")
    pairs = (full, hanging, slow)
    edges = [pair.status_url.removeprefix("http://") for pair in pairs]
    with watching(tmp_path, [metrics_address(pair) for pair in pairs], edges) as prometheus:
        rows: list[tuple[str, str, float, float]] = []
        async with directly(full) as to_full, directly(hanging) as to_hanging, directly(slow) as to_slow:

            async def in_turn(*drills: Drill) -> None:
                for drill in drills:
                    await drill.run(prometheus)

            def drill(what: str, fault: AbstractAsyncContextManager[None], *alerts: str) -> Drill:
                return Drill(what, fault, alerts, rows)

            await asyncio.gather(
                in_turn(
                    drill("all places taken, others call", faults.full(to_full, 2), "PalaverRefusesCalls"),
                    drill("disk of the audit log full", faults.files_full(to_full), "PalaverAuditGap"),
                ),
                in_turn(drill("certificate of one day", faults.expiring(tmp_path), "PalaverCertificateExpires")),
                in_turn(drill("answer hangs in the engine", faults.hanging(to_hanging), "PalaverEngineStalled")),
                in_turn(
                    drill("model takes long to load", loading(slow), "PalaverModelNotLoaded"),
                    drill(
                        "120 callers of a slow engine",
                        faults.slow_crowd(to_slow),
                        *("PalaverFirstTokenSlow", "PalaverManyActiveCalls"),
                    ),
                    drill("engine gives answers up", faults.failing(to_slow), "PalaverServerErrors"),
                    drill("server process stopped", faults.suspended(slow), "PalaverDown"),
                ),
            )
    table = ["", "| alert | fault | fired after | resolved after |", "|---|---|---|---|"]
    table += [f"| {alert} | {what} | {fired:.0f} s | {resolved:.0f} s |" for alert, what, fired, resolved in rows]
    sys.stdout.write("\n".join([*table, ""]))
    assert len(rows) == 9


@contextlib.asynccontextmanager
async def directly(pair: Pair) -> AsyncIterator[Caller]:
    """Call the server without its edge: what the edge thinks of a certificate or of a crowd is not the question."""
    async with httpx.AsyncClient(trust_env=False) as nowhere, pair.direct_channel() as channel:
        yield Caller(pair, nowhere, channel, channel)
