"""The start profile: vLLM's arguments for the GPUs found and the model, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Choice:
    """One value."""

    name: str
    """As vLLM names its flag, without the dashes; or a setting of palaver."""
    value: str | int | float | bool
    reason: str
    is_ours: bool = False
    """Whether it is a setting of palaver's."""

    @property
    def flags(self) -> tuple[str, ...]:
        """For vLLM's command line."""
        return (f"--{self.name}",) if self.value is True else (f"--{self.name}", str(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProfile:
    """What was chosen."""

    machine: str
    """The GPUs, or that there are none."""
    choices: tuple[Choice, ...] = ()
    kept: tuple[str, ...] = ()
    """Names of what the operator has set, where the profile would have had a say."""
    notes: tuple[str, ...] = ()
    """Sentences about what was not chosen and could be."""
    trouble: str = ""
    """Why the model will not run here, as far as can be told before it is loaded; empty where it will."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def vllm_flags(self) -> tuple[str, ...]:
        """Arguments for vLLM; those of the operator come behind them and do not meet them."""
        return tuple(flag for choice in self.choices if not choice.is_ours for flag in choice.flags)

    def value(self, name: str) -> str | int | float | bool | None:
        """The value of one choice; None where it was left to vLLM."""
        return next((choice.value for choice in self.choices if choice.name == name), None)
