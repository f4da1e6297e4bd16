"""What is written down while a profile is chosen: values with their reasons, beside what the operator has set."""

from __future__ import annotations

from collections.abc import Mapping

from palaver_server.machine.profile import Choice


class Choices:
    """Filled by those who choose.

    Args:
        given: vLLM's arguments that the operator has set, by name; ``max-concurrent-requests`` among them. They stay.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given
        self.made: list[Choice] = []
        self.kept: list[str] = []
        self.notes: list[str] = []

    def choose(self, name: str, value: str | float | bool, reason: str) -> None:
        """Take a value, unless the operator has."""
        if name in self.given:
            self.kept.append(name)
        else:
            self.made.append(Choice(name, value, reason))

    def choose_number(self, name: str, value: float, reason: str) -> float:
        """Take a number that the operator has not set, and give it back."""
        self.made.append(Choice(name, value, reason))
        return value

    def keep(self, name: str) -> str | None:
        """What the operator has set, noted as kept; None where they have not."""
        if (text := self.given.get(name)) is not None:
            self.kept.append(name)
        return text

    def keep_number(self, name: str) -> float | None:
        """The same as a number; None where it is none, too."""
        if (number := self.number(name)) is not None:
            self.kept.append(name)
        return number

    def number(self, name: str) -> float | None:
        """A number that the operator has set; None where it is none: vLLM says what is wrong then."""
        try:
            return float(self.given[name])
        except (KeyError, ValueError):
            return None


def power_of_two(number: int) -> int:
    """The largest power of two that is not larger; 0 of 0."""
    return 1 << number.bit_length() - 1 if number > 0 else 0
