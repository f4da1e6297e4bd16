"""The pace of streams."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from palaver_server.settings.units import IN_SECONDS, Positive


class StreamSettings(BaseModel):
    """How streams are written."""

    coalescing_delay: Annotated[float, Field(ge=0, le=1, json_schema_extra=IN_SECONDS)] = Field(
        0.1,
        description="Seconds that a token may be held back at most, so that several go in one message: only those of "
        "many streams are, as soon as each token in a message of its own would be more than 500 messages a second. The "
        "first three tokens of an answer and its end never are. "
        "Ten pieces a second still read as flowing text. 0: never.",
    )
    slow_reader_timeout: Positive = Field(
        30.0,
        description="Seconds that one message of a stream may wait for its reader, once the buffers on the way are "
        "full, before the call ends with READER_TOO_SLOW and its place is free; 5 at most while the server stops. Who "
        "takes a few KB/s is never ended.",
    )
