"""The log."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class LogSettings(BaseModel):
    """What is written to standard error."""

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level written.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json is one object a line; console is for people; auto is console on a terminal."
    )
    log_user_ids: bool = Field(
        False,
        description="Write the user_id and the labels of a call into its access line. Off: they may name people. The "
        "audit log has a keyed hash of the user_id either way, for `palaver audit query --user`.",
    )
