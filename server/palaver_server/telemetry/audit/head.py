"""The head: a file that tells which record was written last, so that a cut end is seen.

It is written after the records that it tells of, and as soon as the log is opened for the first time. So a process that
is killed leaves a head that is behind the log's last record, or at it: never before it, and never none. A machine that
loses its power loses records and head in any order: records that are gone then are told like records that were cut off.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from palaver_server.telemetry.audit.chain import KIND, NUMBER, START, Keys, canonical, record_in, sealed

FILE = "head.json"
HEAD = "head"
"""The kind of a head: no record of the log can stand in for one, and no head for a record."""
_OF = "of"


class NoHeadError(Exception):
    """There is no head that could be trusted. The message is the beginning of a sentence: what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Head:
    """Which record was the last."""

    number: int
    """0 for a log in which nothing has been written."""
    mac: str
    """The record's keyed hash."""

    @classmethod
    def read(cls, folder: Path, keys: Keys) -> Self:
        """Read the head of a log.

        Raises:
            NoHeadError: there is none, or it is not what palaver wrote.
        """
        try:
            line = (folder / FILE).read_bytes()
        except FileNotFoundError:
            raise NoHeadError(f"{FILE} is missing") from None
        except OSError as error:
            raise NoHeadError(f"{FILE} cannot be read ({error.strerror})") from error
        record = record_in(line, keys)
        if record is None:
            raise NoHeadError(f"{FILE} was changed, it does not fit its hash")
        number, mac = record.get(NUMBER), record.get(_OF)
        if record.get(KIND) != HEAD or type(number) is not int or not isinstance(mac, str):
            raise NoHeadError(f"{FILE} is no head, another record was put in its place")
        return cls(number, mac)

    def write(self, folder: Path, keys: Keys) -> None:
        """Put this head in the place of the one before."""
        path = folder / FILE
        fresh = path.with_suffix(".new")
        fields = {KIND: HEAD, _OF: self.mac, "time": time.time()}
        fresh.write_bytes(canonical(sealed(keys, fields, self.number, START)))
        fresh.replace(path)
