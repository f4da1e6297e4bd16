"""The log."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BaseModel, Field

LogLevel = Literal["debug", "info", "warning", "error"]
LOG_LEVELS: tuple[str, ...] = get_args(LogLevel)


class LogSettings(BaseModel):
    """What is written to standard error."""

    log_level: LogLevel = Field(
        "info", description="The least level written. `palaver log-level` changes it while the server runs."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json is one object a line; console is for people; auto is console on a terminal."
    )
    log_user_ids: bool = Field(
        False,
        description="Write the user_id and the labels of a call into its access line. Off: they may name people. The "
        "audit log has a keyed hash of the user_id either way, for `palaver audit query --user`.",
    )
    log_content: bool = Field(
        False,
        description="Write prompts and answers into the log, after taking out keys, mail addresses, card and telephone "
        "numbers. Off: what people write is nobody's business, and rules find neither names nor stories.",
    )
    log_content_region: str | None = Field(
        None,
        description="Country (ISO 3166, such as US) whose telephone numbers --log-content also takes out where they "
        "are written without a country code. International ones always are.",
    )
    log_repeat_limit: Annotated[int, Field(ge=0)] = Field(
        100,
        description="Lines alike that are written in a minute: the same event and level, and of failed calls the same "
        "method and reason. What comes beyond is counted, and told in one line. 0: all are written. Calls that went "
        "well are always a line each.",
    )
    control_socket: str | None = Field(
        None,
        description="Unix socket of `palaver log-level`; mode 0600. Unset: run/control.sock in --state-dir, or, where "
        "another server has that, none and a warning. Empty: none.",
    )
