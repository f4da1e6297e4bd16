"""The compiling process (``compiler.py``) for its owner: started early or when needed, and again when it is gone."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from typing import Any

from palaver_server.engine.policy import FormLimits
from palaver_server.engine.vllm.grammar.form import Form
from palaver_server.engine.vllm.grammar.starting import Child, start_compiler

START_SECONDS = 120.0
"""Where it is no fork, it imports torch, which takes three seconds, or forty on a busy machine whose disk is cold."""
END_SECONDS = 5.0
LENGTH_BYTES = 4


class CompilerGoneError(Exception):
    """The process has ended, or does not start."""


@dataclass(slots=True)
class _Running:
    process: Child
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    waiting: dict[int, asyncio.Future[str]] = field(default_factory=dict)
    listening: asyncio.Task[None] | None = None


class CompilerProcess:
    """Belongs to one event loop.

    Args:
        vocabulary: gives the model's vocabulary as xgrammar writes it (``TokenizerInfo.serialize_json``). Called once,
            in a thread.
        limits: what one form may take.
        any_whitespace: whether the engine allows white space of any kind between the parts of JSON.
        forks: of which the process is a fork, where there is such a server.
    """

    def __init__(
        self,
        vocabulary: Callable[[], str],
        limits: FormLimits,
        *,
        any_whitespace: bool,
        forks: ForkServerContext | None = None,
    ) -> None:
        self._vocabulary = vocabulary
        self._limits = limits
        self._any_whitespace = any_whitespace
        self._forks = forks
        self._running: _Running | None = None
        self._starting = asyncio.Lock()
        self._jobs = itertools.count()

    @property
    def pid(self) -> int | None:
        """The process; None while there is none."""
        return self._running.process.pid if self._running else None

    async def start(self) -> None:
        """Start the process unless it runs.

        Raises:
            CompilerGoneError: it does not start.
        """
        async with self._starting:
            if self._running is None:
                self._running = await self._start()

    async def compile(self, form: Form) -> str:
        """Compile a form; gives what is wrong with it, empty where nothing is.

        Raises:
            CompilerGoneError: the process ends, or does not start.
        """
        await self.start()
        running = self._running
        if running is None:
            raise CompilerGoneError
        job = next(self._jobs)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running.waiting[job] = future
        try:
            running.writer.write(_frame({"job": job, "kind": form.kind, "text": form.text}))
            await running.writer.drain()
            return await future
        except ConnectionError as error:
            raise CompilerGoneError from error
        finally:
            running.waiting.pop(job, None)

    async def close(self) -> None:
        """End the process; it ends its forks."""
        if (running := self._running) is None:
            return
        running.writer.close()
        if running.listening is not None:
            await asyncio.gather(running.listening, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await running.process.wait()
                return
        await _ended(running.process)

    async def _start(self) -> _Running:
        vocabulary = await asyncio.to_thread(self._vocabulary)
        ours, theirs = socket.socketpair()
        process: Child | None = None
        try:
            with theirs:
                process = await start_compiler(theirs, self._forks)
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException as error:
            ours.close()
            if process is not None:
                await _ended(process)
            if isinstance(error, OSError | EOFError):
                raise CompilerGoneError from error
            raise
        running = _Running(process, reader, writer)
        setup = {
            "vocabulary": vocabulary,
            "any_whitespace": self._any_whitespace,
            "seconds": self._limits.compile_seconds,
            "memory_bytes": self._limits.compile_mib << 20,
            "compiled_bytes": self._limits.compiled_mib << 20,
            "step_seconds": self._limits.step_seconds,
        }
        try:
            async with asyncio.timeout(START_SECONDS):
                writer.write(_frame(setup))
                await _receive(reader)
        except BaseException as error:  # being cancelled among them: whoever closes meanwhile leaves nothing behind
            writer.close()
            await _ended(process)
            if isinstance(error, TimeoutError | ConnectionError | asyncio.IncompleteReadError):
                raise CompilerGoneError from error
            raise
        running.listening = asyncio.create_task(self._listen(running), name="form compiler")
        return running

    async def _listen(self, running: _Running) -> None:
        try:
            while True:
                message = await _receive(running.reader)
                future = running.waiting.get(message["job"])
                if future is not None and not future.done():
                    future.set_result(message["problem"])
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._running = None
            running.writer.close()
            for future in running.waiting.values():
                if not future.done():
                    future.set_exception(CompilerGoneError())
            await running.process.wait()


async def _ended(process: Child) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def _frame(message: dict[str, Any]) -> bytes:
    body = json.dumps(message).encode()
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def _receive(reader: asyncio.StreamReader) -> dict[str, Any]:
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    message: dict[str, Any] = json.loads(await reader.readexactly(length))
    return message
