"""Reads a log and says whether it is whole; where it is not, which record is to blame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palaver_server.telemetry.audit.chain import HEAD_FILE, MAC, NUMBER, PREVIOUS, START, Keys, files_of, is_sealed

RETENTION = "retention"


@dataclass(slots=True)
class Verdict:
    """What a log is worth."""

    record_count: int = 0
    first_number: int | None = None
    last_number: int = 0
    findings: list[str] = field(default_factory=list)
    """What is wrong, a sentence each; empty where nothing is."""
    torn: str | None = None
    """Where the last line was cut off by an end without warning; no sign of tampering."""
    gaps: list[str] = field(default_factory=list)
    """What the log itself says is missing: records that could not be written."""

    @property
    def is_whole(self) -> bool:
        """Nothing was changed, removed or put in another order."""
        return not self.findings


def verify(folder: Path, keys: Keys) -> Verdict:
    """Look at every record of a log."""
    verdict, macs, previous = Verdict(), {0: START}, START
    head = _head(folder)  # first: a server may be writing
    kept_from = _retention(folder, keys)
    for place, record in _lines(folder, verdict):
        number, verdict.record_count = record.get(NUMBER), verdict.record_count + 1
        if not is_sealed(keys, record):
            verdict.findings.append(f"{place}: record {number} was changed: it does not fit its hash.")
        elif verdict.first_number is None:
            verdict.first_number = number
            if record[PREVIOUS] != START and (number, record[PREVIOUS]) not in kept_from:
                verdict.findings.append(f"{place}: the records before {number} were removed.")
        elif number != verdict.last_number + 1:
            verdict.findings.append(
                f"{place}: record {number} follows {verdict.last_number}: {_order(number, verdict)}"
            )
        elif record[PREVIOUS] != previous:
            verdict.findings.append(f"{place}: record {number} does not follow the one before it.")
        if isinstance(number, int):
            verdict.last_number, macs[number] = number, str(record.get(MAC))
        previous = str(record.get(MAC))
        if record.get("kind") == "gap":
            verdict.gaps.append(f"{place}: {record.get('lost')} records before {number} could not be written.")
    _check_head(head, keys, macs, verdict)
    return verdict


def _order(number: Any, verdict: Verdict) -> str:
    if isinstance(number, int) and number <= verdict.last_number:
        return "records were repeated or put in another order."
    return "records between them were removed, or put in another order."


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Every record that can be read, oldest first, unverified."""
    for _, record in _lines(folder, Verdict()):
        yield record


def _lines(folder: Path, verdict: Verdict) -> Iterator[tuple[str, dict[str, Any]]]:
    files = files_of(folder)
    for path in files:
        with path.open("rb") as file:
            for index, line in enumerate(file, 1):
                place = f"{path.name}:{index}"
                if not line.endswith(b"\n"):
                    if path == files[-1]:
                        verdict.torn = f"{place}: the last line was cut off after {len(line)} bytes."
                    else:
                        verdict.findings.append(f"{place}: the file was cut off.")
                    continue
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None
                if isinstance(record, dict):
                    yield place, record
                else:
                    verdict.findings.append(f"{place}: this is no record.")


def _retention(folder: Path, keys: Keys) -> set[tuple[int, str]]:
    """Where the log says that it begins, because older files were removed in their time."""
    return {
        (record["kept_from"], record["kept_previous"])
        for record in records(folder)
        if record.get("kind") == RETENTION and is_sealed(keys, record)
    }


def _head(folder: Path) -> dict[str, Any] | None:
    try:
        head = json.loads((folder / HEAD_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return head if isinstance(head, dict) else None


def _check_head(head: dict[str, Any] | None, keys: Keys, macs: dict[int, str], verdict: Verdict) -> None:
    if head is None:
        if verdict.record_count:
            verdict.findings.append(f"{HEAD_FILE} is missing or no head: whether the end was cut off cannot be told.")
        return
    if not is_sealed(keys, head):
        verdict.findings.append(f"{HEAD_FILE} was changed: it does not fit its hash.")
        return
    number, mac = head[NUMBER], head["of"]
    if number > verdict.last_number:
        verdict.findings.append(f"The records after {verdict.last_number} were removed: {number} had been written.")
    elif macs.get(number) != mac:
        verdict.findings.append(f"Record {number} is not the one that had been written.")
