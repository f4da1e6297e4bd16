"""What settings count in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

IN_SECONDS: dict[str, Any] = {"unit": "seconds"}
"""For a field's ``json_schema_extra``: help and documentation show the unit."""
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False, json_schema_extra=IN_SECONDS)]
Positive = Annotated[float, Field(gt=0, le=2_000_000, json_schema_extra=IN_SECONDS)]  # grpcio: 32-bit milliseconds
Count = Annotated[int, Field(ge=1)]
Rate = Annotated[int, Field(ge=1, le=1_000_000)] | Literal["unlimited"]
"""Requests per minute."""
