"""Who wants an answer of a form passes here first: a form that cannot be afforded never reaches the engine.

vLLM would compile it on the event loop when the request is added, and once more in the engine core, with no limit.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict

import structlog

from palaver_server.core.errors import PalaverError, Reason, invalid_field
from palaver_server.engine.policy import FormLimits
from palaver_server.engine.vllm.grammar.form import Form
from palaver_server.engine.vllm.grammar.process import CompilerGoneError, CompilerProcess

log = structlog.get_logger("palaver.engine")

REMEMBERED = 4096
"""Verdicts: a hash and a sentence each, so about a megabyte."""
AT_ONCE = 2
"""Forms that are compiled side by side. One that takes its whole time does not hold up everybody."""
MAX_WAITING = 32
MAX_WAITING_OF_ONE_CLIENT = 8
TRIES = 2
"""The compiling process may have been ended by the kernel for want of memory."""


class Gate:
    """Remembers which forms are well, and has new ones compiled elsewhere. Belongs to one event loop."""

    def __init__(self, process: CompilerProcess, limits: FormLimits) -> None:
        self._process = process
        self._limits = limits
        self._verdicts: OrderedDict[bytes, str] = OrderedDict()
        self._pending: dict[bytes, asyncio.Task[str]] = {}
        self._waiting_of: Counter[str] = Counter()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._starting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Have the compiling process started meanwhile, so that nobody's first form waits for it."""
        self._starting = asyncio.create_task(self._start(), name="start the form compiler")

    async def admit(self, form: Form, field: str, client_id: str = "") -> None:
        """Let a form pass. One that was seen before costs a look into a table.

        Args:
            form: what an answer shall be held to.
            field: the request's field that asks for it.
            client_id: who asks.

        Raises:
            PalaverError: the form is wrong or too costly, or too many new ones wait.
        """
        size = len(form.text.encode("utf-8", "surrogatepass"))
        if size > self._limits.max_bytes:
            raise invalid_field(field, f"must have at most {self._limits.max_bytes} bytes; it has {size}")
        digest = form.digest
        problem = self._verdicts.get(digest)
        if problem is None:
            problem = await self._compiled(digest, form, client_id)
        else:
            self._verdicts.move_to_end(digest)
        if problem:
            raise invalid_field(field, problem)

    async def close(self) -> None:
        """End the compiling process."""
        tasks = [*self._pending.values(), *([self._starting] if self._starting is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._process.close()

    async def _compiled(self, digest: bytes, form: Form, client_id: str) -> str:
        task = self._pending.get(digest)
        if task is None:
            if len(self._pending) >= MAX_WAITING or self._waiting_of[client_id] >= MAX_WAITING_OF_ONE_CLIENT:
                raise PalaverError(
                    Reason.SERVER_OVERLOADED,
                    "Too many new schemas and grammars wait to be compiled. Try again after the time given.",
                    retry_after_seconds=self._limits.compile_seconds,
                )
            self._waiting_of[client_id] += 1
            task = asyncio.create_task(self._compile(digest, form, client_id), name="compile a form")
            self._pending[digest] = task
        # Several may wait for one form; that one of them leaves must not end it for the others.
        return await asyncio.shield(task)

    async def _compile(self, digest: bytes, form: Form, client_id: str) -> str:
        try:
            async with self._room:
                problem = await self._ask(form)
            self._verdicts[digest] = problem
            if len(self._verdicts) > REMEMBERED:
                self._verdicts.popitem(last=False)
            return problem
        finally:
            del self._pending[digest]
            self._waiting_of[client_id] -= 1
            if not self._waiting_of[client_id]:
                del self._waiting_of[client_id]

    async def _start(self) -> None:
        try:
            await self._process.start()
        except CompilerGoneError as error:  # the first form tries again
            log.warning("the process that compiles schemas does not start", exc_info=error.__cause__)

    async def _ask(self, form: Form) -> str:
        for attempt in range(TRIES):
            try:
                return await self._process.compile(form)
            except CompilerGoneError as error:
                log.warning("the process that compiles schemas has ended", attempt=attempt, exc_info=error.__cause__)
        raise PalaverError(
            Reason.GENERATION_FAILED, "The form of the answer could not be compiled; it may succeed another time."
        )
