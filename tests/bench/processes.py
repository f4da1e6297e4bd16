"""The processes of one visit: started, listened to until they are ready, ended whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.bench.plan import ROOT

READY_SECONDS = 300.0
"""An engine that has not started by then will not."""
END_SECONDS = 30.0
"""What a process gets to end by itself."""
POLL_SECONDS = 0.02
LAST_LINES = 15
MAX_REPLY_BYTES = 1 << 20


class BenchError(Exception):
    """The run cannot go on. The message says why, and where to read more."""


class Launched:
    """A running process that writes into a log file of its own."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self._name = name
        self._process = process
        self._log = log
        self._read_bytes = 0
        self._unread: deque[str] = deque()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def line_with(self, text: str, *, seconds: float = READY_SECONDS) -> str:
        """Wait for the next line of its output that has this text.

        Its output goes to the log directly, as passing it on would cost CPU time beside the measurement; hence a look
        at the file every few milliseconds, until it is ready.

        Raises:
            BenchError: it has ended, or the time is over.
        """
        ends_at = asyncio.get_running_loop().time() + seconds
        while True:
            has_ended = self._process.returncode is not None  # before the look: what it said last counts
            self._read_on()
            while self._unread:
                if text in (line := self._unread.popleft()):
                    return line
            if has_ended:
                self.check()
            if asyncio.get_running_loop().time() > ends_at:
                raise self.failure(f"was not ready within {seconds:g} seconds")
            await asyncio.sleep(POLL_SECONDS)

    def check(self) -> None:
        """See that it is there, while it starts.

        Raises:
            BenchError: it has ended.
        """
        if self._process.returncode is not None:
            raise self.failure(f"ended with status {self._process.returncode} before it was ready")

    async def exchange(self, line: str, *, seconds: float) -> str:
        """Write a line to its standard input and wait for the line that it answers.

        Raises:
            BenchError: it has ended, or the time is over.
        """
        await self.say(line)
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                answer = await self._process.stdout.readline()
        except TimeoutError:
            raise self.failure(f"did not answer within {seconds:g} seconds") from None
        if not answer:
            raise self.failure("failed")
        return answer.decode()

    async def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        with suppress(ConnectionError):  # it has ended, which the next reading tells with a reason
            await self._process.stdin.drain()

    async def end(self) -> None:
        """Ask it to end, wait, and end by force what is left of it and its children."""
        family = _family(self.pid)
        if self._process.stdin is not None:
            self._process.stdin.close()
        elif self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        for process in family:
            with suppress(psutil.NoSuchProcess):  # psutil knows a reused process id from the process
                process.kill()
        await self._process.wait()

    def failure(self, what: str) -> BenchError:
        """An error with the last lines of the log."""
        lines = self._log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        return BenchError("\n  ".join([f"{self._name} {what}; its log is {self._log}, which ends so:", *lines]))

    def _read_on(self) -> None:
        with self._log.open("rb") as log:
            log.seek(self._read_bytes)
            *whole, _ = log.read().split(b"\n")
        self._read_bytes += sum(len(line) + 1 for line in whole)
        self._unread.extend(line.decode(errors="replace") for line in whole)


class Launcher:
    """Starts processes, and ends them in the order of their start.

    Args:
        folder: for their logs; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._state = tempfile.TemporaryDirectory(prefix="palaver-bench-")
        self._launched: list[Launched] = []

    @property
    def state_folder(self) -> Path:
        """A folder for what processes keep, gone with them; its path is short enough for sockets."""
        return Path(self._state.name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._launched:
            await process.end()
        self._state.cleanup()

    async def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None, is_asked: bool = False
    ) -> Launched:
        """Start a process in the checkout.

        Args:
            name: for its log and for messages.
            command: program and arguments.
            environment: in place of this process's own.
            is_asked: its standard input and output are for ``exchange``; else its output goes to the log as well.
        """
        log = self._folder / f"{name}.log"
        pipe = asyncio.subprocess.PIPE
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=ROOT,
                env=dict(os.environ if environment is None else environment),
                stdin=pipe if is_asked else asyncio.subprocess.DEVNULL,
                stdout=pipe if is_asked else output,
                stderr=output,
                limit=MAX_REPLY_BYTES,
                # Ctrl-C is for the benchmark alone, which then ends them in order. No session of their own: Linux
                # divides the cores among sessions (sched_autogroup), and where they are full, a client's has to wait.
                process_group=0,
            )
        launched = Launched(name, process, log)
        self._launched.append(launched)
        return launched


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
