"""vLLM's engine arguments from a settings file's table, as the flags that ``vllm serve`` takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def flags_from_table(table: Mapping[str, Any]) -> list[str]:
    """Write a table of arguments as command-line flags, in vLLM's own way of doing so for its configuration file.

    ``{"max-model-len": 4096, "enforce-eager": True, "hf-overrides": {"a": 1}}`` becomes ``--max-model-len 4096
    --enforce-eager --hf-overrides '{"a": 1}'``. False becomes ``--no-...``; underscores are as good as dashes.
    """
    flags: list[str] = []
    for name, value in table.items():
        flag = name.replace("_", "-").lstrip("-")
        match value:
            case True:
                flags.append(f"--{flag}")
            case False:
                flags.append(f"--no-{flag}")
            case list():
                flags += [f"--{flag}", *map(str, value)]
            case dict():
                flags += [f"--{flag}", json.dumps(value)]
            case _:
                flags += [f"--{flag}", str(value)]
    return flags
