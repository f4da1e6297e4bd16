"""The scripted engine."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from palaver_server.settings.units import Count, Seconds


class ScriptedSettings(BaseModel):
    """The scripted engine: its pace and its faults."""

    scripted_tokens: Count | None = Field(
        None, description="Words to write. Unset: the last user message, word by word."
    )
    scripted_answer: str | None = Field(
        None,
        description="What is said instead of the last user message: a text, or a script of thoughts, text and calls of "
        "tools, in the language that engine/scripted/script.py describes. A user message may be such a script too.",
    )
    scripted_interval: Seconds = Field(0.0, description="Seconds between two words.")
    scripted_first: Seconds = Field(0.0, description="Seconds to the first word.")
    scripted_load: Seconds = Field(0.0, description="Seconds that loading takes.")
    scripted_load_error: str | None = Field(None, description="Loading fails with this sentence.")
    scripted_kv_tokens: Count | None = Field(
        None, description="Tokens that its KV cache holds, as load reports tell it. Unset: it has none."
    )
    scripted_fail_after: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Each answer fails after this many words."
    )
    scripted_hang_after: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Each answer hangs after this many words."
    )
    scripted_die_after: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The engine dies after this many words of an answer."
    )
