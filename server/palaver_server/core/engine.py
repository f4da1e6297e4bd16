"""The verbs that every engine has. Above this line nobody knows vLLM; below it nobody knows gRPC."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Protocol

from palaver_server.core.events import Event
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.model import LoadProgress, ModelDescription
from palaver_server.core.prompt import Explanation, PromptCount

ReportProgress = Callable[[LoadProgress], None]


class Prompt(Protocol):
    """A request that an engine has rendered, counted and accepted: checked input is another type."""

    @property
    def prompt_token_count(self) -> int:
        """Tokens of the rendered conversation, template included."""

    @property
    def max_output_tokens(self) -> int:
        """The effective number, after defaults and clamping."""


class Engine(Protocol):
    """Answers conversations with a model."""

    @property
    def description(self) -> ModelDescription:
        """The model. Complete once ``load`` has returned."""

    @property
    def running_count(self) -> int:
        """Generations that the engine holds at this moment, waiting ones included."""

    @property
    def silent_seconds(self) -> float:
        """How long a busy engine has given no sign of life; 0 for an idle one."""

    @property
    def kv_cache_usage(self) -> float:
        """The part of the KV cache that running answers hold, 0 to 1; 0 for an engine without one."""

    async def load(self, report: ReportProgress) -> None:
        """Make the model ready to answer, a warm-up generation included.

        The event loop stays responsive meanwhile.

        Raises:
            EngineStartError: with one sentence for the person who started the server.
        """

    async def count_tokens(self, request: GenerationRequest) -> PromptCount:
        """Count the prompt's tokens exactly as ``prepare`` would, but refuse none for its length alone.

        Raises:
            PalaverError: the prompt cannot be rendered, or not be made to fit where the request asks for that.
        """

    async def explain(self, request: GenerationRequest) -> Explanation:
        """Tell all that can be known of an answer before it is generated.

        Raises:
            PalaverError: as ``prepare``.
        """

    async def prepare(self, request: GenerationRequest) -> Prompt:
        """Render and check a request; the engine does no work for it yet.

        Raises:
            PalaverError: the prompt is too long, a value does not fit the model.
        """

    def generate(self, prompt: Prompt) -> AsyncGenerator[Event, None]:
        """Answer: one ``Started``, deltas, one ``Finished``.

        Closing the generator, or cancelling whoever awaits it, frees the engine at once.

        Raises:
            PalaverError: the engine died or gave the request up.
        """

    async def invitation(self) -> Mapping[str, str]:
        """What another process has to know to answer with this engine too. Returns while ``load`` goes on.

        It may hold secrets, and is for a process of the same server alone.
        """

    def give_up(self, cause: str) -> None:
        """Take it that the engine has died, as another process has seen; ``wait_failed`` then returns the cause."""

    async def wait_failed(self) -> str:
        """Return when the engine can answer no more, with a sentence about it for the log."""

    async def shutdown(self) -> None:
        """End the engine and every process of it. Harmless when called twice or before ``load``."""

    def kill(self) -> None:
        """End every process of the engine now, waiting for nothing; for a process that is about to exit itself."""


class EngineStartError(Exception):
    """The engine cannot start. The message is one sentence that names the cause and what to do."""
