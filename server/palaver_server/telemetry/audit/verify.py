"""Reads a log and says whether it is whole; where it is not, which record is to blame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palaver_server.telemetry.audit.chain import KIND, MAC, NUMBER, PREVIOUS, START, Keys, files_of, is_sealed, parsed
from palaver_server.telemetry.audit.head import HEAD, Head, NoHeadError

GAP = "gap"
"""The kind of a record that tells how many before it could not be written."""
CUT = "cut"
"""The kind of a record that tells that the log's end was gone when it was opened."""
RETENTION = "retention"
"""The kind of a record that tells where the log begins, because older files were removed in their time."""


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
    """Look at every record of a log. Whatever its files hold is told, and raises nothing."""
    verdict, previous = Verdict(), START
    mac_at_head = START  # of a head that tells of no record
    head: Head | None = None
    try:
        head = Head.read(folder, keys)  # first: a server may be writing
    except NoHeadError as error:
        verdict.findings.append(f"{error}: whether the end was cut off cannot be told.")
    begins = {(1, START), *_retention(folder, keys)}
    for place, line, record in _lines(folder, verdict):
        verdict.record_count += 1
        number = record[NUMBER] if type(record.get(NUMBER)) is int else None
        if not is_sealed(keys, record, line):
            verdict.findings.append(f"{place}: record {number or '?'} was changed: it does not fit its hash.")
        elif record[KIND] == HEAD:
            verdict.findings.append(f"{place}: this is no record of the log: a head was put there.")
        else:
            if fault := _fault(record, previous, begins, verdict):
                verdict.findings.append(f"{place}: {fault}")
            _note_what_the_log_says(place, record, verdict)
            verdict.first_number = verdict.first_number or number
        previous = str(record.get(MAC))
        if number is not None:
            verdict.last_number = number
            if head is not None and number == head.number:
                mac_at_head = previous
    if head is not None:
        _check_head(head, mac_at_head, verdict)
    return verdict


def _fault(record: dict[str, Any], previous: str, begins: set[tuple[int, str]], verdict: Verdict) -> str | None:
    """What is wrong with the place of a record that palaver wrote."""
    number = record[NUMBER]
    if verdict.first_number is None:
        return None if (number, record[PREVIOUS]) in begins else f"the records before {number} were removed."
    if number != verdict.last_number + 1:
        return f"record {number} follows {verdict.last_number}: {_order(number, verdict)}"
    return None if record[PREVIOUS] == previous else f"record {number} does not follow the one before it."


def _order(number: int, verdict: Verdict) -> str:
    if number <= verdict.last_number:
        return "records were repeated or put in another order."
    return "records between them were removed, or put in another order."


def _note_what_the_log_says(place: str, record: dict[str, Any], verdict: Verdict) -> None:
    """Of a record in its place."""
    if record.get(KIND) == GAP:
        verdict.gaps.append(f"{place}: {record['lost']} records before {record[NUMBER]} could not be written.")
    elif record.get(KIND) == CUT:
        verdict.findings.append(f"{place}: found when a server began here: {record['found']}")


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Every record that can be read, oldest first, unverified."""
    for _, _, record in _lines(folder, Verdict()):
        yield record


def _lines(folder: Path, verdict: Verdict) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
    files = files_of(folder)
    for path in files:
        try:
            with path.open("rb") as file:
                for index, line in enumerate(file, 1):
                    place = f"{path.name}:{index}"
                    if not line.endswith(b"\n"):
                        if path == files[-1]:
                            verdict.torn = f"{place}: the last line was cut off after {len(line)} bytes."
                        else:
                            verdict.findings.append(f"{place}: the file was cut off.")
                    elif (record := parsed(line)) is not None:
                        yield place, line, record
                    else:
                        verdict.findings.append(f"{place}: this is no record.")
        except OSError as error:
            verdict.findings.append(f"{path.name} cannot be read: {error.strerror}.")


def _retention(folder: Path, keys: Keys) -> set[tuple[int, str]]:
    """Where the log says that it begins, because older files were removed in their time."""
    return {
        (record["kept_from"], record["kept_previous"])
        for _, line, record in _lines(folder, Verdict())
        if record.get(KIND) == RETENTION and is_sealed(keys, record, line)
    }


def _check_head(head: Head, mac: str, verdict: Verdict) -> None:
    if head.number > verdict.last_number:
        verdict.findings.append(
            f"The records after {verdict.last_number} were removed: {head.number} had been written."
        )
    elif mac != head.mac:
        verdict.findings.append(f"Record {head.number} is not the one that had been written.")
