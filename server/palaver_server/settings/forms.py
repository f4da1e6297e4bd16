"""What the form of an answer may cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from palaver_server.settings.units import Positive


class FormSettings(BaseModel):
    """Schemas, regular expressions and grammars that answers are held to."""

    max_form_bytes: Annotated[int, Field(ge=1024, le=4_194_304)] = Field(
        131_072,
        description="Bytes of one schema, expression or grammar, the schemas of strict tools together included. "
        "Those of large API descriptions have 50,000.",
    )
    form_compile_time: Positive = Field(
        5.0,
        description="Seconds of processor time that one may take to compile, in a process of its own. A schema of 400 "
        "properties takes 0.3; a hostile one of 13 KB would take 20.",
    )
    form_compile_memory: Annotated[int, Field(ge=64, le=65_536)] = Field(
        1024, description="MiB that one may take while it is compiled. Usual ones take 10."
    )
