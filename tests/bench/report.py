"""The report of a run: settings, machine, versions, every measurement and their summary; as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from tests.bench import plot, setting
from tests.bench.measured import Visit
from tests.bench.plan import Plan
from tests.bench.summary import Summary, summarise

FORMAT = 3
"""Goes up when a figure changes its meaning."""


class Report(BaseModel):
    """One run."""

    format: int
    versions: dict[str, str]
    machine: dict[str, str | int | float | list[str]]
    plan: Plan
    visits: list[Visit]
    summary: Summary

    @classmethod
    def of(cls, plan: Plan, visits: Sequence[Visit]) -> Report:
        """Report on a run that has just ended on this machine."""
        return cls(
            format=FORMAT,
            versions=setting.versions(),
            machine=setting.machine(),
            plan=plan,
            visits=list(visits),
            summary=summarise(plan, visits),
        )


def write(report: Report, folder: Path) -> tuple[Path, ...]:
    """Write ``results.json`` and ``results.svg``, each whole or not at all, and give their paths."""
    json_path, picture_path = folder / "results.json", folder / "results.svg"
    part = folder / "results.part.json"
    part.write_text(report.model_dump_json(indent=1) + "\n")
    part.replace(json_path)
    part = folder / "results.part.svg"
    plot.draw(report.plan, report.visits, part)
    part.replace(picture_path)
    return json_path, picture_path
