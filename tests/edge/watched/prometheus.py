"""A real Prometheus that looks at real servers every second, with palaver's rules in a hurry."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.observability.draw import ask
from deploy.observability.generate import rules

HURRY = 30
"""A minute of the rules becomes two seconds."""
SCRAPE_SECONDS = 1


@dataclass
class Prometheus:
    """A running one."""

    url: str

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        alerts = ask(self.url, "alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def value(self, query: str) -> list[float]:
        """The present values of a query."""
        return [float(series["value"][1]) for series in ask(self.url, "query", query=query)["result"]]

    def targets(self) -> dict[str, str]:
        """Each target's health by its address."""
        return {one["labels"]["instance"]: one["health"] for one in ask(self.url, "targets")["activeTargets"]}


@contextlib.contextmanager
def watching(folder: Path, servers: Sequence[str], edges: Sequence[str]) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes these addresses, until the block ends."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs Prometheus: apt-get install prometheus")
    jobs: list[dict[str, Any]] = [
        {"job_name": name, "scrape_timeout": "1s", "static_configs": [{"targets": list(targets)}]}
        for name, targets in (("palaver", servers), ("palaver-edge", edges))
    ]
    interval = f"{SCRAPE_SECONDS}s"
    (folder / "rules.yaml").write_text(json.dumps(rules(hurry=HURRY)))  # JSON is YAML
    (folder / "prometheus.yaml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": interval, "evaluation_interval": interval},
                "rule_files": ["rules.yaml"],
                "scrape_configs": jobs,
            }
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(program, f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    watcher = Prometheus(f"http://127.0.0.1:{port}")
    try:
        until(lambda: set(watcher.targets().values()) == {"up"}, "Prometheus reaches every target", 60)
        yield watcher
    finally:
        process.terminate()
        process.wait(30)


def until(is_so: Any, what: str, seconds: float = 120) -> float:
    """Wait until something is so, and return how long that took."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(OSError):  # it is only starting
            if is_so():
                return time.monotonic() - began
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not after {seconds} s: {what}")
        time.sleep(0.2)
