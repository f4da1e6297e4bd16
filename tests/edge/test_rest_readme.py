"""What clients/README.md says, a shell does."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "clients/README.md"
# Each example in its order, and what its output shows.
SHOWN = [
    '"finish_reason":"FINISH_REASON_STOP"',
    'data: {"finished":',
    '"prompt_token_count":',
    '"is_default":true',
    '"status":"healthy"',
    "options.temperature",
]


async def test_the_examples_run_as_they_stand(pair):
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert "palaver edge ca" in blocks[0]
    environment = {**os.environ, "CA": str(pair.ca), "URL": pair.url, "NO_PROXY": "localhost", "no_proxy": "localhost"}
    assert len(blocks[1:]) == len(SHOWN)
    for block, shown in zip(blocks[1:], SHOWN, strict=True):
        curl = await asyncio.create_subprocess_shell(
            block, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(curl.communicate(), 60)
        assert curl.returncode == 0, block
        assert shown in output.decode(), block
        if shown != SHOWN[1]:
            json.loads(output)
