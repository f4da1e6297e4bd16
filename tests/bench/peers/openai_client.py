"""Asks any server that speaks OpenAI's protocol for streamed chat completions."""

from __future__ import annotations

from typing import Any

import aiohttp

from tests.bench.clocks import Processes
from tests.bench.peers import sse
from tests.bench.peers.beginning import unseen
from tests.bench.peers.peer import Answer
from tests.bench.plan import Ask


class OpenAIClient:
    """One for a run.

    Args:
        session: has as many connections as there are streams.
        url: of ``/v1/chat/completions``.
        model: the name that requests use.
        processes: who works for the answers.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, model: str, processes: Processes) -> None:
        self._session = session
        self._url = url
        self._model = model
        self._processes = processes

    async def answer(self, ask: Ask) -> Answer:
        """Ask for one chat completion."""
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": role, "content": text} for role, text in ask.conversation],
            "max_tokens": ask.max_output_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"ignore_eos": True} if ask.ignores_end else {}),
        }
        began, pieces = await sse.ask(self._session, self._url, body)
        times = []
        hidden: str | None = ""
        for came_at, event in sse.events(pieces):
            text = "".join(_text(choice["delta"]) for choice in event["choices"])
            if hidden is not None:
                hidden = unseen(hidden + text)
            if hidden is None and text:
                times.append(came_at)
            if event.get("usage"):
                usage = event["usage"]
        return Answer(began, times, usage["prompt_tokens"], usage["completion_tokens"])

    def processes(self) -> Processes:
        """The server's are the front end; those that it has started are the engine."""
        return self._processes

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


def _text(delta: dict[str, Any]) -> str:
    """What a reader is shown: words of the answer, or of the thoughts before it by the name that the server has."""
    return "".join(delta.get(name) or "" for name in ("reasoning_content", "reasoning", "content"))
