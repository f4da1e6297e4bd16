"""Answers conversations with a model that vLLM runs for this process."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.engine import EngineStartError, Prompt, ReportProgress
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.events import Event
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.model import LoadPhase, LoadProgress, ModelDescription
from palaver_server.core.options import GenerationOptions
from palaver_server.core.prompt import Explanation, PromptCount
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.vllm.prompt.vllm_prompt import VllmPrompt
from palaver_server.engine.vllm.start.joining import Joining
from palaver_server.engine.vllm.start.launch import Launch
from palaver_server.engine.vllm.start.progress import BUILT_FRACTION

if TYPE_CHECKING:  # it imports vLLM, which takes seconds
    from palaver_server.engine.vllm.runtime import Runtime

FindModel = Callable[[ReportProgress], Awaitable[str]]

WARM_UP_SECONDS = 300.0
"""A first generation compiles kernels on some GPUs; an engine that has not answered by then will not."""
STALL_SECONDS = 120.0
"""Above the longest single step: thousands of prompt tokens through a large model on a slow CPU."""
STOP_SECONDS = 20.0
"""For the engine's processes to let go of memory and devices by themselves; they take one or two."""

_WARM_UP = GenerationRequest(
    request_id="warm-up",
    model="",
    messages=(Message(Role.USER, (TextPart("Hello!"),)),),
    options=GenerationOptions(max_output_tokens=2),
    is_streamed=True,
)


class VllmEngine:
    """Implements ``core.engine.Engine``. Belongs to one event loop; a process has one at a time.

    Args:
        find_model: called first by ``load``; gives what vLLM loads: a model's folder, or its name on the Hugging Face
            Hub. Where files have to be fetched, this is the place.
        model_id: the name that requests use.
        flags: vLLM's engine arguments as on its command line, such as ``["--max-model-len", "4096"]``. ``load`` checks
            them, as vLLM's parser comes with vLLM.
        policy: what the operator decides about answers.
        warm_up_seconds: time limit of the first generation.
        stall_seconds: how long a busy engine may be silent before it counts as failed.
        stop_seconds: what ``shutdown`` gives the engine's processes before it ends them by force.
        front_ends: how many processes shall answer with the engine that this one starts.
        running_elsewhere: gives how many answers the engine writes for the others.
        invitation: for one of the others: what ``invitation`` gives in the process that starts the engine. Whether the
            engine hangs is then for that process to find out.
        index: for one of the others: which it is, from 1.
    """

    def __init__(
        self,
        find_model: FindModel,
        *,
        model_id: str,
        flags: Sequence[str] = (),
        policy: EnginePolicy | None = None,
        warm_up_seconds: float = WARM_UP_SECONDS,
        stop_seconds: float = STOP_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        front_ends: int = 1,
        running_elsewhere: Callable[[], int] = lambda: 0,
        invitation: Awaitable[Mapping[str, str]] | None = None,
        index: int = 0,
    ) -> None:
        self._find_model = find_model
        what = (model_id, tuple(flags), policy or EnginePolicy())
        self._launch: Launch | Joining = (
            Launch(*what, front_ends=front_ends)
            if invitation is None
            else Joining(*what, invitation, index=index, count=front_ends)
        )
        self._description = ModelDescription(model_id)
        self._warm_up_seconds = warm_up_seconds
        self._stop_seconds = stop_seconds
        self._stall_seconds = stall_seconds if invitation is None else math.inf
        self._running_elsewhere = running_elsewhere
        self._has_begun = False
        self._runtime: Runtime | None = None
        self._watch: asyncio.Task[None] | None = None
        self._failure = ""
        self._has_failed = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "ended" if self._ending else "loaded" if self._runtime else "loading" if self._has_begun else "new"
        return f"VllmEngine({self._description.model_id!r}, {state})"

    @property
    def description(self) -> ModelDescription:
        """The model; its context length, architecture and own sampling defaults are known once it is loaded."""
        return self._description

    @property
    def running_count(self) -> int:
        """Requests that vLLM holds, waiting ones included."""
        return self._runtime.generations.running_count if self._runtime else 0

    @property
    def silent_seconds(self) -> float:
        """How long the engine has made no step while it holds requests."""
        quiet_since = self._runtime.pulse.quiet_since if self._runtime else None
        return 0.0 if quiet_since is None else max(time.monotonic() - quiet_since, 0.0)

    @property
    def kv_cache_usage(self) -> float:
        """The part of the KV cache that running answers hold, as of the engine's last step."""
        return self._runtime.pulse.kv_cache_usage if self._runtime else 0.0

    async def load(self, report: ReportProgress) -> None:
        """Start the engine's processes, load the weights, and generate for the first time.

        vLLM is imported and built in a thread, so the event loop stays responsive.

        Raises:
            EngineStartError: with one sentence about the cause; nothing of the engine is left then, nor when the load
                is cancelled.
        """
        if self._has_begun:
            raise RuntimeError("an engine is loaded once")
        self._has_begun = True
        try:
            runtime = await self._launch.run(await self._find_model(report), report)
            self._description = runtime.description
            report(LoadProgress(LoadPhase.WARMING_UP, BUILT_FRACTION, "generating for the first time"))
            self._runtime = runtime
            self._watch = asyncio.create_task(self._watch_failure(runtime), name="engine failure watch")
            await self._warm_up()
        except BaseException:
            await self.shutdown()
            raise
        self._launch.loaded()
        runtime.gate.start()

    async def count_tokens(self, request: GenerationRequest) -> PromptCount:
        """Count the tokens of the rendered conversation, however long it is.

        Raises:
            PalaverError: the model's chat template refuses the messages, or what is never left out of them is too long.
        """
        return await self._loaded().preparation.count_tokens(request)

    async def explain(self, request: GenerationRequest) -> Explanation:
        """Render, count and check, and tell everything about it.

        Raises:
            PalaverError: as ``prepare``.
        """
        return await self._loaded().preparation.explain(request)

    async def prepare(self, request: GenerationRequest) -> VllmPrompt:
        """Render, count and check. A request's time limit counts from here.

        Raises:
            PalaverError: the conversation does not fit the context, or a field does not fit the model.
        """
        return await self._loaded().preparation.prepare(request)

    def generate(self, prompt: Prompt) -> AsyncGenerator[Event, None]:
        """Answer: one ``Started``, deltas, one ``Finished``. Closing the generator frees the engine at once.

        Raises:
            PalaverError: the engine has died, or failed on this request.
        """
        if not isinstance(prompt, VllmPrompt):
            raise TypeError(f"a prompt of another engine: {type(prompt).__name__}")
        return self._loaded().generations.run(prompt)

    async def invitation(self) -> Mapping[str, str]:
        """What another process needs to join the engine; there once the model is found, while it loads."""
        return await self._launch.invitation()

    def give_up(self, cause: str) -> None:
        """Take it that the engine has died: whoever waits for it is told."""
        if self._watch is not None:
            self._watch.cancel()
        if self._runtime is not None:
            self._runtime.give_up()
        self._failure = cause
        self._has_failed.set()

    async def wait_failed(self) -> str:
        """Return when the engine has died by itself, with a sentence about it."""
        await self._has_failed.wait()
        return self._failure

    async def shutdown(self) -> None:
        """End the engine and every process of it, also one that is still loading. A second call waits for the first."""
        await asyncio.shield(self._begin_end(self._stop_seconds))

    def kill(self) -> None:
        """End every process of the engine now, for a process that is about to exit itself."""
        self._launch.kill()

    def _loaded(self) -> Runtime:
        if self._runtime is None:
            if self._has_failed.is_set():
                from palaver_server.engine.vllm.errors import engine_unavailable  # noqa: PLC0415  # imports vLLM, as above

                raise engine_unavailable()
            raise PalaverError(Reason.ENGINE_UNAVAILABLE, "The engine is not running.")
        return self._runtime

    async def _warm_up(self) -> None:
        """Generate once. It also starts vLLM's reader of outputs, which must be in this event loop.

        An engine may hang in its first step, and one that dies at this moment leaves the request waiting.
        """
        try:
            async with asyncio.timeout(self._warm_up_seconds):
                async for _ in self.generate(await self.prepare(_WARM_UP)):
                    pass
        except TimeoutError:
            raise EngineStartError(
                f"The model is loaded, but a first answer of two tokens did not come within {self._warm_up_seconds:g} "
                "seconds."
            ) from None
        except PalaverError as error:
            raise EngineStartError(f"The model is loaded, but a first answer failed: {error.message}") from error

    async def _watch_failure(self, runtime: Runtime) -> None:
        from palaver_server.engine.vllm.processes.failure_watch import wait_failed  # noqa: PLC0415  # imports vLLM, which is there now

        self._failure = await wait_failed(runtime, self._stall_seconds, self._running_elsewhere)
        self._has_failed.set()
        # Nothing comes of its processes any more, and they may be busy while the server ends everything else.
        self._begin_end(0.0)

    def _begin_end(self, seconds: float) -> asyncio.Task[None]:
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(seconds), name="engine shutdown")
        return self._ending

    async def _end(self, seconds: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self._runtime = None
        await self._launch.stop(seconds)
