"""What can go wrong, by name. The RPC edge turns a reason into statuses, in one table (``rpc/errors.py``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique

MAX_MESSAGE_BYTES = 1024
"""A message travels in a header, where three bytes may stand for one; a longer one helps nobody."""


@unique
class Reason(StrEnum):
    """The machine-readable cause of a failure; clients may switch on it, so a name is never reused."""

    INVALID_FIELD = "INVALID_FIELD"
    FIELD_NOT_SUPPORTED = "FIELD_NOT_SUPPORTED"
    MALFORMED_REQUEST = "MALFORMED_REQUEST"
    PROMPT_TOO_LONG = "PROMPT_TOO_LONG"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    METHOD_NOT_FOUND = "METHOD_NOT_FOUND"
    SERVICE_NOT_FOUND = "SERVICE_NOT_FOUND"
    KEY_MISSING = "KEY_MISSING"
    KEY_MALFORMED = "KEY_MALFORMED"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    KEY_EXPIRED = "KEY_EXPIRED"
    KEY_REVOKED = "KEY_REVOKED"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    MODEL_NOT_ALLOWED = "MODEL_NOT_ALLOWED"
    RATE_LIMITED = "RATE_LIMITED"
    TOO_MANY_FAILED_ATTEMPTS = "TOO_MANY_FAILED_ATTEMPTS"
    MODEL_LOADING = "MODEL_LOADING"
    SERVER_OVERLOADED = "SERVER_OVERLOADED"
    SERVER_DRAINING = "SERVER_DRAINING"
    ENGINE_UNAVAILABLE = "ENGINE_UNAVAILABLE"
    GENERATION_FAILED = "GENERATION_FAILED"
    DEADLINE_TOO_SHORT = "DEADLINE_TOO_SHORT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    READER_TOO_SLOW = "READER_TOO_SLOW"
    CANCELLED = "CANCELLED"
    INTERNAL = "INTERNAL"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that breaks one rule."""

    field: str
    """The path as the caller wrote it, from the RPC's request message: ``chat.options.temperature``."""
    description: str
    """A sentence that says what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class QuotaViolation:
    """One limit that a caller has reached."""

    subject: str
    """Who the limit is for: ``client:acme``. Never a key."""
    description: str
    """A sentence that says what the limit is."""


class PalaverError(Exception):
    """A failure with a name. Its message goes to the caller: it must hold no internals.

    What is longer than ``MAX_MESSAGE_BYTES`` in UTF-8 is cut.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        violations: Sequence[FieldViolation] = (),
        quota_violations: Sequence[QuotaViolation] = (),
        retry_after_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        message = cut_to_bytes(message, MAX_MESSAGE_BYTES)
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.quota_violations = tuple(quota_violations)
        self.retry_after_seconds = retry_after_seconds
        """Seconds after which another try may succeed; None where waiting does not help."""
        self.metadata = dict(metadata or {})

    def __repr__(self) -> str:
        return f"PalaverError({self.reason}, {self.message!r})"


def cut_to_bytes(text: str, most: int) -> str:
    """Cut a text so that its UTF-8 has ``most`` bytes at most, and show that it was cut."""
    if len(text) * 4 <= most:  # whatever its characters are
        return text
    written = text.encode(errors="replace")
    return text if len(written) <= most else f"{written[: most - 3].decode(errors='ignore')}..."


def invalid_field(field: str, description: str, *, reason: Reason = Reason.INVALID_FIELD) -> PalaverError:
    """Refuse one field of a request, by its path, with the sentence that explains it."""
    return PalaverError(reason, f"{field}: {description}", violations=[FieldViolation(field, description)])
