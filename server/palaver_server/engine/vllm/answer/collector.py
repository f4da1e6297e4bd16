"""Where the outputs of one request wait for whoever hands them on."""

from __future__ import annotations

import asyncio
from typing import Self, TypeAlias, cast

from vllm.outputs import CompletionOutput, PoolingRequestOutput, RequestOutput
from vllm.v1.engine.output_processor import RequestOutputCollector


class Piece:
    """What most outputs are: tokens of the middle of an answer's only choice, and their text.

    Has what is read of vLLM's ``CompletionOutput``, of which it stands in the place.
    """

    __slots__ = ("text", "token_ids")

    index = 0
    finish_reason = None
    stop_reason = None
    logprobs = None

    def __init__(self, text: str, token_ids: list[int]) -> None:
        self.text = text
        self.token_ids = token_ids


Output: TypeAlias = CompletionOutput | Piece


class Collector(RequestOutputCollector):
    """vLLM's collector, which also takes pieces, and wakes its one reader without an event in between.

    What comes while nobody reads is merged with what waits.
    """

    output: RequestOutput | PoolingRequestOutput | Exception | Piece | None  # type: ignore[assignment]  # a piece more
    _reader: asyncio.Future[None] | None = None

    @classmethod
    def adopt(cls, queue: RequestOutputCollector) -> Self:
        """Make one of the collector that vLLM has made; what has come until then is kept."""
        if not isinstance(queue, cls):
            queue.__class__ = cls
        return cast("Self", queue)

    def add(self, text: str, token_ids: list[int]) -> None:
        """Take a piece."""
        waiting = self.output
        if waiting is None:
            self.output = Piece(text, token_ids)
            self._wake()
        elif isinstance(waiting, Piece):
            waiting.text += text
            waiting.token_ids += token_ids
        elif isinstance(waiting, RequestOutput):
            (completion,) = waiting.outputs
            completion.text += text
            completion.token_ids = [*completion.token_ids, *token_ids]

    def put(self, output: RequestOutput | PoolingRequestOutput | Exception) -> None:
        """Take an output; see ``RequestOutputCollector.put``."""
        waiting = self.output
        if isinstance(waiting, Piece) and isinstance(output, RequestOutput):
            (completion,) = output.outputs
            completion.text = waiting.text + completion.text
            completion.token_ids = [*waiting.token_ids, *completion.token_ids]
            self.output = output
        else:
            super().put(output)
        self._wake()

    async def get(self) -> RequestOutput | Piece:  # type: ignore[override]  # of one kind less, and one more
        """Wait for what comes next.

        Raises:
            Exception: the one that was put.
        """
        while (output := self.output) is None:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        self.output = None
        if isinstance(output, Exception):
            raise output
        return output  # type: ignore[return-value]  # of a generation none pools

    def _wake(self) -> None:
        if (reader := self._reader) is not None:
            self._reader = None
            if not reader.done():
                reader.set_result(None)
