"""Settings files, written: what is there stays word by word, comments too, and new values stand in it.

The standard library reads TOML and does not write it. Numbers, words and lists are all that is written here.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

_VLLM_TABLE = re.compile(r"^\s*\[\s*vllm\s*\]\s*(#.*)?$")


def with_values(text: str, ours: Mapping[str, object], vllm: Mapping[str, object], remark: str) -> str:
    """A settings file with more values, none of which it has yet.

    Args:
        text: the file so far; empty for a new one.
        ours: palaver's own settings.
        vllm: arguments for the table ``[vllm]``.
        remark: stands at the top, as a comment.
    """
    # Before the first table: what follows a table's name belongs to it.
    lines = [*(f"# {line}".rstrip() for line in remark.splitlines()), *_lines(ours), *([""] if text else [])]
    rest = text.splitlines()
    place = next((index + 1 for index, line in enumerate(rest) if _VLLM_TABLE.match(line)), None)
    if vllm and place is None:
        rest += ["", "[vllm]", *_lines(vllm)]
    elif vllm:
        rest[place:place] = _lines(vllm)
    return "\n".join([*lines, *rest]) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees a part of it. Its mode is that of any new file of the user."""
    descriptor, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.umask(mask := os.umask(0o077))
            os.fchmod(file.fileno(), 0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def toml(value: object) -> str:
    """A value as TOML has it. Its words are those of JSON, and its inline tables nearly so."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(name))} = {toml(entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    return json.dumps(str(value))


def _lines(values: Mapping[str, object]) -> list[str]:
    return [f"{name} = {toml(value)}" for name, value in values.items()]
