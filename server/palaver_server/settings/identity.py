"""Keys, tiers and their limits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from palaver_server.settings.units import Count, Rate

DEFAULT_TIER = "default"
DEFAULT_REQUESTS_PER_MINUTE = 60


class Tier(BaseModel):
    """What the keys of one tier may do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: Rate = DEFAULT_REQUESTS_PER_MINUTE


class IdentitySettings(BaseModel):
    """Who may call, and how often."""

    keys_file: Path | None = Field(
        None,
        description="The file of API keys, as `palaver keys` writes it; it holds hashes alone. Default: keys.json in "
        "--state-dir. As long as it does not exist, callers on this machine need no key.",
    )
    tiers: dict[str, Tier] = Field(
        default_factory=dict,
        validate_default=True,
        description='Limits by tier, such as `[tiers.gold]` with `requests_per_minute = 600`, or "unlimited". '
        "A key without a tier is of the tier default: 60 a minute unless set. Changes count within a second.",
        json_schema_extra={"flag": False},
    )
    allow_explain: bool = Field(
        False,
        description="Let callers without a key ask ExplainChat, which shows rendered prompts with all that the chat "
        "template adds. Where there are keys, those alone may whose --methods name it.",
    )
    revoked_streams: Literal["end", "finish"] = Field(
        "end",
        description="What happens to the running answers of a key that is revoked: end stops them at once with "
        "KEY_REVOKED, finish lets them end by themselves.",
    )
    max_failed_attempts: Count = Field(
        30,
        description="Wrong keys a minute from one address that are told what is wrong; further ones are told to wait. "
        "A right key is always let in.",
    )

    @field_validator("tiers")
    @classmethod
    def _has_default_tier(cls, tiers: dict[str, Tier]) -> dict[str, Tier]:
        return {DEFAULT_TIER: Tier(), **tiers}
