"""What every place that counts says of the calls of one mix."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from palaver_server.telemetry.audit.verify import records
from tests.edge.agreement.calls import Seen
from tests.edge.agreement.mix import Keys, caller_of, make_round, metrics_address
from tests.edge.conftest import Pair, running_pair
from tests.scrape import Scraped, scrape

AT_THE_EDGE = {"KEY_MISSING", "KEY_UNKNOWN", "TOO_MANY_FAILED_ATTEMPTS", "RATE_LIMITED", "PATH_NOT_FOUND"}
"""Reasons for which Envoy lets nobody through."""
KEYS_REFUSED = AT_THE_EDGE - {"RATE_LIMITED", "PATH_NOT_FOUND"}
GONE = (grpc.StatusCode.CANCELLED.name, grpc.StatusCode.DEADLINE_EXCEEDED.name)
"""Codes of callers that did not wait for the end."""


@dataclass
class Told:
    """The counts of all places, and those of the callers."""

    seen: list[Seen]
    server: Scraped
    edge: Scraped
    lines: dict[str, dict[str, Any]]
    """The server's access log by request id."""
    edge_lines: dict[str, dict[str, Any]]
    audit: dict[str, dict[str, Any]]
    audit_count: int = 0
    """Records, however many have the same request id."""

    @property
    def served(self) -> list[Seen]:
        """Calls that reached the API."""
        return [seen for seen in self.seen if not (seen.is_by_edge and seen.reason in AT_THE_EDGE)]

    @property
    def by_edge(self) -> list[Seen]:
        return [seen for seen in self.seen if seen.is_by_edge]

    def left(self, seen: Seen) -> bool:
        """Whether Envoy saw its caller leave."""
        return self.edge_lines[seen.request_id]["flags"] in ("DC", "DR")

    def code(self, seen: Seen) -> str:
        """What the server must say of a call.

        A deadline ends by three clocks, the caller's, Envoy's and the server's, within milliseconds. Whose is first
        decides whether the others see a deadline, somebody who leaves, or a stream that was broken off.
        """
        said = str(self.lines.get(seen.request_id, {}).get("code"))
        return said if seen.has_deadline and said in GONE else seen.code.name


def tally(keys: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    return dict(Counter(keys))


def tell(rounds: int, state_dir: Path, *flags: str) -> Told:
    """Make calls in rounds, wait until everybody has written down what they saw, and ask."""
    audit = state_dir / "audit"
    key = Keys(state_dir)
    with running_pair(*flags, "--audit-dir", str(audit), state_dir=state_dir) as pair:

        async def call() -> list[Seen]:
            async with caller_of(pair) as caller:
                for _ in range(rounds):
                    await make_round(caller, key)
                return caller.seen

        told = ask(pair, asyncio.run(call()))
        assert pair.stop() == 0
    return with_audit(told, audit)


def ask(pair: Pair, seen: list[Seen]) -> Told:
    """Read the logs and the figures, once the last line is there."""
    told = Told(seen, Scraped(), Scraped(), {}, {}, {})
    lines = pair.wait_for(lambda: _all(pair, "call", told.served), "a call has no line in the server's access log")
    edge_lines = pair.wait_for(lambda: _all(pair, "edge call", told.by_edge), "a call has no line in Envoy's")
    told.lines, told.edge_lines = lines, edge_lines
    told.server, told.edge = scrape(metrics_address(pair)), scrape(pair.status_url.removeprefix("http://"))
    return told


def with_audit(told: Told, folder: Path) -> Told:
    """The audit log, read when the server has ended."""
    calls = [record for record in records(folder) if record["kind"] == "call"]
    told.audit, told.audit_count = {record["request_id"]: record for record in calls}, len(calls)
    return told


def _all(pair: Pair, event: str, wanted: list[Seen]) -> dict[str, dict[str, Any]] | None:
    lines = pair.events(event)
    found = {line["request_id"]: line for line in lines}
    if len(lines) < len(wanted):
        return None
    assert len(found) == len(lines), "a call has two lines"
    return found
