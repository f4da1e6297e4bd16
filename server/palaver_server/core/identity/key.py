"""A key's record, as the key file holds it. The key's own text is in none of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from palaver_server.settings import DEFAULT_TIER, Rate

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}$")]
"""Up to 64 letters, digits and ``._:@-``: it stands in logs, headers and metrics as it is."""


class Secret(BaseModel):
    """One key text that opens a key's door. A rotation adds one, and lets those before it expire."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None


class Key(BaseModel):
    """What is known of one key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Name
    """Public: for `palaver keys revoke`, logs and limits."""
    client: Name
    tier: Name = DEFAULT_TIER
    requests_per_minute: Rate | None = None
    """None: what the tier says."""
    models: Annotated[frozenset[str], Field(min_length=1)] | None = None
    """None: all."""
    methods: Annotated[frozenset[str], Field(min_length=1)] | None = None
    """Full names, ``palaver.v1.ChatService/Chat``; None: all."""
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None
    secrets: Annotated[tuple[Secret, ...], Field(min_length=1)]

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """Whether the key opens anything at a time."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if has_passed(self.expires_at, now) else "active"

    def ended_at(self, now: datetime) -> datetime | None:
        """When the key was revoked or expired, whichever came first; None while it opens something."""
        ends = (self.revoked_at, self.expires_at)
        return min((end for end in ends if end is not None and end <= now), default=None)


class Keys(BaseModel):
    """All keys: the content of the key file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _ids_and_secrets_are_unique(self) -> Self:
        ids = [key.id for key in self.keys]
        hashes = [secret.sha256 for key in self.keys for secret in key.secrets]
        if len(set(ids)) < len(ids) or len(set(hashes)) < len(hashes):
            raise ValueError("two keys have the same id or the same hash")
        return self


def has_passed(moment: datetime | None, now: datetime) -> bool:
    """Tell whether a moment, if there is one, lies in the past."""
    return moment is not None and moment <= now
