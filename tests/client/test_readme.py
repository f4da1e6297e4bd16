"""What the README says, a program does, and a type checker accepts."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from mypy import api as mypy

import palaver_client

README = Path(palaver_client.__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```\n```text\n(.*?)```", README.read_text(), re.DOTALL)
WRONG = """
from palaver_client import AsyncClient, Client, FinishReason

def wrong(client: Client) -> None:
    client.chat("x", temperature="hot")
    client.chat("x", temperatur=1)
    client.stream(5)
    reason: FinishReason = client.chat("x").text

async def also_wrong(client: AsyncClient) -> None:
    for piece in client.stream("x"):
        pass
"""


def test_every_example_has_an_output():
    assert len(EXAMPLES) == README.read_text().count("```python") >= 6


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[0].splitlines()[-1][:40])
async def test_an_example_prints_what_the_readme_says(serve, example):
    program, expected = example
    server = await serve()
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", program),
        env={**os.environ, "PALAVER_ADDRESS": server.address},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, problems = await child.communicate()
    # The examples' server is at the port of the documentation; the test's is at a free one.
    assert (output.decode().replace(server.address, "127.0.0.1:50051"), problems.decode()) == (expected, "")


def checked(folder: Path, program: str) -> tuple[str, int]:
    path = folder / "program.py"
    path.write_text(program)
    output, problems, code = mypy.run(["--strict", "--cache-dir", str(folder / "cache"), str(path)])
    assert problems == ""
    return output, code


def test_the_examples_pass_a_strict_type_checker_and_mistakes_do_not(tmp_path):
    output, code = checked(tmp_path, "\n".join(program for program, _ in EXAMPLES))
    assert (output.startswith("Success"), code) == (True, 0), output
    output, code = checked(tmp_path, WRONG)
    assert code == 1
    lines = sorted({int(line) for line in re.findall(r"program.py:(\d+): error", output)})
    assert lines == [5, 6, 7, 8, 11]
