"""Asks a server and counts the tokens that come, window by window."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from statistics import fmean, quantiles
from time import perf_counter

from palaver_client import AsyncClient, errors
from palaver_server.tuning.traffic import Traffic

WINDOWS = 10
"""Of one measurement: their spread tells how much to believe in its mean."""
WORDS = (
    *("time", "year", "way", "day", "thing", "man", "world", "life", "hand", "part", "child", "eye"),
    *("woman", "place", "work", "week", "case", "point", "home", "room"),
)
"""Common English words, a token each for most vocabularies."""
SAMPLE_WORDS = 200
SHORTEST_PROMPT = 4
"""Words."""
CONTEXT_SHARE = 0.9
"""Of what an answer leaves of the context, at most, for the longest prompt: the template takes a few tokens too."""
LONGEST_PROMPT = 1.5
"""Times the typical one."""
REFUSED_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """What came in one measurement."""

    windows: tuple[float, ...]
    """Tokens a second, of answers that began within the bound, in windows of the same length."""
    ttft_p95: float | None
    """Seconds; None where no answer began."""
    failures: int
    """Calls that were refused or failed."""
    failure: str = ""
    """The most frequent reason."""

    @property
    def tokens_per_second(self) -> float:
        """Over all windows."""
        return fmean(self.windows)


@dataclass(slots=True)
class _Count:
    """What the callers of one measurement write down."""

    begins_at: float
    ends_at: float
    tokens: list[int] = field(default_factory=lambda: [0] * WINDOWS)
    ttfts: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    def add(self, at: float, tokens: int) -> None:
        if self.begins_at <= at < self.ends_at:
            self.tokens[int((at - self.begins_at) / (self.ends_at - self.begins_at) * WINDOWS)] += tokens


class Load:
    """The callers of one server.

    Args:
        client: of the server.
        traffic: what is asked.
        seed: of the prompts; no two measurements should share one, as a server remembers prompts.
        ignores_end: have the model write on where it would end, so that every answer is as long.
    """

    def __init__(self, client: AsyncClient, traffic: Traffic, seed: int, *, ignores_end: bool) -> None:
        self._client = client
        self._traffic = traffic
        self._random = random.Random(seed)  # noqa: S311  # words, no secrets
        self._ignores_end = ignores_end
        self._words = SHORTEST_PROMPT
        self._output_tokens = traffic.output_tokens

    async def fit(self) -> None:
        """Learn how many words make a prompt of the wanted size, and keep prompt and answer within the context."""
        text = self._text(SAMPLE_WORDS)
        tokens_per_word = (await self._client.count_tokens(text)).prompt_token_count / SAMPLE_WORDS
        context = (await self._client.get_model()).context_length
        wanted = float(self._traffic.prompt_tokens)
        if context:
            self._output_tokens = min(self._output_tokens, context // 2)
            wanted = min(wanted, (context - self._output_tokens) * CONTEXT_SHARE / LONGEST_PROMPT)
        self._words = max(SHORTEST_PROMPT, int(wanted / tokens_per_word))

    async def measure(self, warm_up: float, seconds: float) -> Measured:
        """Ask for so long, after so many seconds that do not count. Answers that are not whole by then are left."""
        now = perf_counter()
        count = _Count(now + warm_up, now + warm_up + seconds)
        try:
            async with asyncio.timeout(warm_up + seconds), asyncio.TaskGroup() as callers:
                if self._traffic.rate is None:
                    for _ in range(self._traffic.streams):
                        callers.create_task(self._ask_for_ever(count))
                else:
                    await self._arrive(callers, count, self._traffic.rate)
        except TimeoutError:
            pass  # the end of the measurement
        length = seconds / WINDOWS
        return Measured(
            tuple(tokens / length for tokens in count.tokens),
            _p95(count.ttfts),
            count.failures.total(),
            next((reason for reason, _ in count.failures.most_common(1)), ""),
        )

    async def _ask_for_ever(self, count: _Count) -> None:
        while True:
            if not await self._ask(count):
                await asyncio.sleep(REFUSED_PAUSE)

    async def _arrive(self, callers: asyncio.TaskGroup, count: _Count, rate: float) -> None:
        """Calls at random times, whatever the server makes of them; beyond the open calls allowed they fail here."""
        open_calls: set[asyncio.Task[bool]] = set()
        while True:
            await asyncio.sleep(self._random.expovariate(rate))
            if len(open_calls) >= self._traffic.streams:
                count.failures["too many calls are open at once"] += 1
                continue
            task = callers.create_task(self._ask(count))
            open_calls.add(task)
            task.add_done_callback(open_calls.discard)

    async def _ask(self, count: _Count) -> bool:
        words = self._random.randint(max(1, self._words // 2), int(self._words * LONGEST_PROMPT))
        began, ttft, tokens = perf_counter(), None, 0
        options = {"ignore_eos": True} if self._ignores_end else {}
        stream = self._client.stream(
            self._text(words),
            max_output_tokens=self._output_tokens,
            include_running_usage=True,
            **options,  # type: ignore[arg-type]  # mypy takes it for every option
        )
        try:
            async with stream:
                async for event in stream.events():
                    if not event.HasField("delta"):
                        continue
                    now = perf_counter()
                    written = stream.usage.output_token_count
                    if ttft is None:
                        ttft = now - began
                        if now >= count.begins_at:
                            count.ttfts.append(ttft)
                    if ttft <= self._traffic.ttft_bound:
                        count.add(now, written - tokens)
                    tokens = written
        except errors.PalaverClientError as error:
            if perf_counter() >= count.begins_at:
                count.failures[error.reason or error.message] += 1
            return False
        return True

    def _text(self, words: int) -> str:
        return " ".join(self._random.choices(WORDS, k=words))


def _p95(seconds: list[float]) -> float | None:
    if len(seconds) < 2:  # noqa: PLR2004  # quantiles need two
        return seconds[0] if seconds else None
    return quantiles(seconds, n=20, method="inclusive")[-1]
