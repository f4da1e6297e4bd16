"""One running Envoy, from its start to its end."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from palaver_server.edge.admin import Admin, AdminError
from palaver_server.edge.binary import EdgeError, validate
from palaver_server.edge.line_relay import LineRelay

log = structlog.get_logger("palaver.edge")

START_SECONDS = 30.0
"""Envoy is there after 0.1 s; a machine under load takes its time."""
POLL_SECONDS = 0.05
DRAIN_SECONDS = 1
"""After this, a draining edge takes no new connections; the server behind it refuses new calls from the beginning."""
EMPTY_SECONDS = 5.0
"""What answers that the server has ended may take to reach callers that read slowly."""
TERM_SECONDS = 5.0


class Sidecar:
    """Starts, drains and ends the Envoy of a rendered configuration. Belongs to one event loop, in the main thread."""

    def __init__(self, envoy: Path, configuration: Path, admin_socket: Path, *, workers: int) -> None:
        self._envoy = envoy
        self._configuration = configuration
        self._admin_socket = admin_socket
        self._admin = Admin(admin_socket)
        self._workers = workers
        self._process: asyncio.subprocess.Process | None = None
        self._relay: asyncio.Task[None] | None = None
        self._access_log: LineRelay | None = None
        self._last_words: deque[str] = deque(maxlen=5)
        self._is_ending = False

    def __repr__(self) -> str:
        state = "not started" if self._process is None else f"pid {self._process.pid}"
        return f"Sidecar({self._configuration}, {state})"

    @property
    def pid(self) -> int | None:
        """Envoy's process id once it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> dict[str, str]:
        """Run Envoy until its listeners work, and return where each of them listens.

        Raises:
            EdgeError: it cannot; the message says what Envoy said.
        """
        await validate(self._envoy, self._configuration)
        self._admin_socket.unlink(missing_ok=True)
        self._access_log = access_log = LineRelay(sys.stderr.fileno())  # it goes where ours goes
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "palaver_server.edge.leash", str(os.getpid()), str(self._envoy)),
            *("-c", str(self._configuration), "--concurrency", str(self._workers)),
            # With hot restart, Envoy would end with the thread that started it, and share memory with other Envoys.
            *("--disable-hot-restart", "--log-level", "warning"),
            *(
                "--drain-time-s",
                str(DRAIN_SECONDS),
                "--drain-strategy",
                "immediate",
                "--file-flush-interval-msec",
                "500",
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=access_log.write_end,
            stderr=asyncio.subprocess.PIPE,
            # Ctrl-C is for the server, which ends the edge in its turn. Not a session of its own: Linux divides the
            # cores among sessions (sched_autogroup), and on full ones Envoy would wait for tenths of a second.
            process_group=0,
            env={name: value for name, value in os.environ.items() if not name.startswith("PALAVER_")},
        )
        access_log.begin()
        self._relay = asyncio.create_task(self._relay_log(), name="log of Envoy")
        try:
            async with asyncio.timeout(START_SECONDS):
                while not await self._admin.is_live():
                    if self._process.returncode is not None:
                        await self._relay
                        raise EdgeError(f"Envoy ended while it started: {self._said()}")
                    await asyncio.sleep(POLL_SECONDS)
            return await self._admin.addresses()
        except (TimeoutError, AdminError) as error:
            self.kill()
            raise EdgeError(f"Envoy does not start: {self._said() or error}") from error

    async def wait_failed(self) -> str:
        """Return why Envoy has ended, when it has ended by itself."""
        process = self._running()
        await process.wait()
        if self._is_ending:
            await asyncio.Event().wait()  # that was no failure: never return
        return f"Envoy ended with {process.returncode}: {self._said()}"

    async def fail_health(self) -> None:
        """Let load balancers look away; calls are still taken."""
        await self._tell(self._admin.fail_health)

    async def drain(self) -> None:
        """Take no new connections a moment from now; answers under way go on."""
        await self._tell(self._admin.drain)

    async def stop(self) -> None:
        """End once every answer has reached its caller, or after some seconds."""
        self._is_ending = True
        if self._process is None:
            return
        with suppress(AdminError, TimeoutError):
            async with asyncio.timeout(EMPTY_SECONDS):
                while self._process.returncode is None and await self._admin.active_call_count():  # noqa: ASYNC110  # no event
                    await asyncio.sleep(POLL_SECONDS)
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(TERM_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        if self._relay is not None:
            await self._relay
        if self._access_log is not None:
            await asyncio.to_thread(self._access_log.finish, TERM_SECONDS)

    def kill(self) -> None:
        """End at once."""
        self._is_ending = True
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _tell(self, request: Callable[[], Awaitable[None]]) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        try:
            await request()
        except AdminError as error:
            log.warning("the edge cannot be told", cause=str(error))

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the edge has not been started")
        return self._process

    def _said(self) -> str:
        return " ".join(self._last_words)

    async def _relay_log(self) -> None:
        """Write Envoy's log as ours: JSON lines as the configuration asks for, plain ones before it is read."""
        stream = self._running().stderr
        if stream is None:
            return
        async for line in stream:
            text = line.decode(errors="replace").strip()
            try:
                record = json.loads(text)
            except ValueError:
                record = {"event": text, "level": "warning"}
            self._last_words.append(str(record.get("event", "")))
            is_bad = record.get("level") in ("error", "critical")
            write = log.debug if self._is_ending else log.error if is_bad else log.warning
            write("envoy", said=record.get("event"), part=record.get("logger"))
