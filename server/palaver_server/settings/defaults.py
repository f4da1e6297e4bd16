"""What a request that leaves an option unset gets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from palaver_server.settings.units import Count


class DefaultSettings(BaseModel):
    """Values for requests that leave an option unset. Unset here too: the model's own generation config decides."""

    default_max_output_tokens: Count | None = Field(
        None, description="Output tokens of an answer. Unset: what the context leaves."
    )
    default_temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(None, description="Temperature, 0 to 2.")
    default_top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(None, description="Nucleus, over 0 to 1.")
    default_top_k: Count | None = Field(None, description="Number of likeliest tokens that are sampled from.")
    context_overflow: Literal["reject", "drop-oldest"] = Field(
        "reject",
        description="What happens to a conversation that is longer than the context where its request does not say: "
        "reject refuses it, drop-oldest leaves out its oldest turns and says so.",
    )
    max_output_tokens: Count | None = Field(
        None, description="The most output tokens that a request may ask for, or get. Unset: the context length."
    )
    default_repetition_penalty: Annotated[float, Field(gt=0, le=2)] | None = Field(
        None, description="Over 1 discourages repetition; 1 is neutral."
    )
