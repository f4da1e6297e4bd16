"""What a child process says comes out in the server's log, whatever way it says it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaver_server.engine.vllm.start.environment import FOLDER_VARIABLE
from palaver_server.engine.vllm.start.log_relay import OUTPUT_LOGGER, ChildLine, LogRelay

CHILD = """
import logging, os
from palaver_server.engine.vllm.start import log_relay
log_relay.install()
log = logging.getLogger("vllm.some.module")
log.debug("not asked for")
log.info("loading %d shards", 3)
try:
    raise ValueError("no room")
except ValueError:
    log.exception("it failed")
print("printed", flush=True)
os.write(2, b"Loading:  0%\\rLoading: 50%\\r")
os.write(2, "h\\u00e4lf".encode())
os._exit(0)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="relay-"))  # pytest's own paths are too long for a socket
    yield folder
    shutil.rmtree(folder)


async def run_child(folder: Path, code: str = CHILD) -> tuple[bytes, bytes]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env=os.environ | {FOLDER_VARIABLE: str(folder)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    return await child.communicate()


async def test_records_and_printed_lines_arrive_in_the_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[ChildLine] = []
    relay = LogRelay(folder, (seen.append,))
    relay.start()

    with caplog.at_level(logging.DEBUG):
        printed = await run_child(folder)
        await asyncio.to_thread(relay.drain, 5.0)
    await asyncio.to_thread(relay.close)

    assert printed == (b"", b"")
    records = {(name, level, text) for name, level, text in caplog.record_tuples if name.startswith("vllm")}
    assert ("vllm.some.module", logging.INFO, "loading 3 shards") in records
    assert ("vllm.some.module", logging.ERROR, "it failed (ValueError: no room)") in records
    assert not any(text == "not asked for" for _, _, text in records)
    assert {text for name, _, text in records if name == OUTPUT_LOGGER} == {
        "printed",
        "Loading:  0%",
        "Loading: 50%",
        "hälf",
    }
    assert ChildLine("it failed", "MainProcess", "ValueError: no room") in seen
    # The trace is there for whoever asks for it.
    assert any(level == logging.DEBUG and text.startswith("Traceback") for _, level, text in records)


async def test_errors_of_a_start_are_told_by_who_started_it(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    relay = LogRelay(folder, ())
    relay.max_level = logging.INFO
    relay.start()

    with caplog.at_level(logging.WARNING):
        await run_child(folder)
        await asyncio.to_thread(relay.drain, 5.0)
    await asyncio.to_thread(relay.close)

    assert not [record for record in caplog.records if record.name.startswith("vllm")]


async def test_a_child_without_a_relay_keeps_its_output(folder: Path) -> None:
    stdout, _ = await run_child(folder)

    assert stdout == b"printed\n"


async def test_a_line_that_is_no_record_does_no_harm(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    relay = LogRelay(folder, ())
    relay.start()
    code = f"""
import socket
connection = socket.socket(socket.AF_UNIX)
connection.connect({str(folder / "log")!r})
connection.sendall(b"\\x1e{{broken\\n\\x1e[]\\n\\x1e{{}}\\n\\xff\\n" + b"x" * 200000 + b"\\nlast\\n")
"""

    with caplog.at_level(logging.DEBUG):
        await run_child(folder, code)
        await asyncio.to_thread(relay.drain, 5.0)
    await asyncio.to_thread(relay.close)

    assert [record.getMessage() for record in caplog.records if record.name == OUTPUT_LOGGER][-1] == "last"
