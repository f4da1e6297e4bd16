"""The room for calls."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from palaver_server.settings.units import Count


class AdmissionSettings(BaseModel):
    """How many calls at once."""

    max_concurrent_requests: Count = Field(
        64, description="Chats that run at the same time. vLLM batches them; more than the KV cache holds only wait."
    )
    max_queued_requests: Annotated[int, Field(ge=0)] = Field(
        128, description="Chats that wait for room. Everyone beyond is refused at once with the time to wait."
    )
