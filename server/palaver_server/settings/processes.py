"""How many processes take calls."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field


class ProcessSettings(BaseModel):
    """The processes in front of the engine."""

    front_ends: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Processes that take calls, over one engine. More than one where one core is full of streams; each "
        "takes about a core and, with vLLM, 900 MB. They divide max_concurrent_requests, max_queued_requests and "
        "max_failed_attempts evenly. Where one of them dies, the others end their answers and the server exits with 1.",
    )
