"""What is measured: the settings of one run, stated in its results."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tests.bench.loads import Load

ROOT = Path(__file__).resolve().parents[2]
"""The checkout; every process of the benchmark runs in it."""
TINY_MODEL = Path("tests", "models", "tiny-glm")
"""A few million parameters: the engine is so fast that what stands in front of it is the bottleneck."""

MAX_STREAMS = 512
"""What the engine's flags and the servers' limits make room for at once."""

EngineName = Literal["vllm", "scripted"]
Engines = Literal["same", "own"]

ENGINE_FLAGS = (
    *("--max-model-len", "2048"),
    *("--dtype", "bfloat16"),
    "--enforce-eager",
    *("--max-num-seqs", str(MAX_STREAMS)),
    *("--kv-cache-memory-bytes", "1G"),
)
"""vLLM's engine arguments for every peer."""

CONVERSATION = (
    ("user", "Count to 21."),
    ("assistant", " ".join(map(str, range(1, 22))) + "."),
    ("user", "Sing without end."),
)
"""64 tokens for the tiny model, which sings until it is cut off, so that an answer has all the tokens asked for."""

EXCHANGE = 2
"""Its first messages, which can be repeated to make the prompt longer."""
LONGEST_FACTOR = 3
"""The longest of mixed answers, over the mean."""

MIN_ANSWERS = 160
"""Answers behind each figure, so that a 99th percentile is one of them and a cell takes seconds."""
MIN_ANSWERS_PER_STREAM = 6
MAX_ANSWERS_PER_STREAM = 40
MAX_ARRIVALS = 400
FIRST_TOKENS = 8
WARM_UP_ANSWERS = 1
"""Answers of each stream before the clock starts: connections, allocators and the prefix cache are warm then."""


class Ask(BaseModel):
    """One question, as every peer is asked it."""

    model_config = ConfigDict(frozen=True)

    conversation: tuple[tuple[str, str], ...]
    """Pairs of role and text."""
    max_output_tokens: int
    ignores_end: bool = False
    """The answer goes on to its last token, whatever the model says: so all have the length asked for."""
    client_seconds_per_token: float = 0.0
    """CPU time that a client over the network takes for a token. A peer without a network burns it next to itself."""


class Cell(BaseModel):
    """One measurement."""

    model_config = ConfigDict(frozen=True)

    load: Load
    ask: Ask
    """What is asked where nothing is mixed."""
    answers: int
    """In all."""
    rate: float = 0.0
    """Callers that arrive a second, on average, where the load has no streams."""
    warm_up_answers: int = WARM_UP_ANSWERS
    is_cold: bool = False
    """No prompt begins like another one."""
    seed: int = 0


class Plan(BaseModel):
    """The settings of one run."""

    model_config = ConfigDict(frozen=True)

    engine: EngineName
    model: str
    """A folder or a name that vLLM takes; the scripted engine has none and ignores it."""
    peers: tuple[str, ...]
    """The first is compared with each of the others."""
    streams: tuple[int, ...]
    rounds: int
    minutes: float
    """No round begins that would, as the longest so far, end after this."""
    tokens: int
    """Output tokens of each answer; of mixed ones on average."""
    arrivals: tuple[int, ...] = ()
    """Loads of callers who arrive at random, in percent of the first peer's capacity."""
    prefix: Literal["warm", "cold"] = "warm"
    """Warm: the engine knows each prompt. Cold: no prompt begins like another one."""
    turns: int = 1
    """Exchanges before the question."""
    engine_flags: tuple[str, ...] = ENGINE_FLAGS
    engines: Engines = "same"
    """Whether every peer's engine gets what palaver chooses for its own beside ``engine_flags``."""
    conversation: tuple[tuple[str, str], ...] = CONVERSATION
    min_answers: int = MIN_ANSWERS
    min_answers_per_stream: int = MIN_ANSWERS_PER_STREAM
    max_answers_per_stream: int = MAX_ANSWERS_PER_STREAM

    @property
    def loads(self) -> tuple[Load, ...]:
        """What is measured, in this order."""
        streams = tuple(Load(streams=count) for count in self.streams)
        if not self.arrivals:
            return streams
        return (*streams, self.full_load, *(Load(percent=percent, is_mixed=True) for percent in self.arrivals))

    @property
    def full_load(self) -> Load:
        """What tells the capacity: the most streams, with mixed lengths."""
        return Load(streams=max(self.streams), is_mixed=True)

    @property
    def longest_answer(self) -> int:
        """In tokens."""
        return self.tokens * (LONGEST_FACTOR if self.arrivals else 1)

    def cell(self, load: Load, client_seconds_per_token: float, capacity: float) -> Cell:
        """The measurement of a load.

        Args:
            load: one of this plan's.
            client_seconds_per_token: CPU time of a load client over the network.
            capacity: answers a second of the first peer, for callers who arrive at random.
        """
        ask = self._ask(self.tokens, client_seconds_per_token)
        seed = 1 + self.loads.index(load)
        answers = self._answers(load.streams or max(self.streams))
        if load.streams:
            return Cell(load=load, ask=ask, answers=answers, is_cold=self._is_cold, seed=seed)
        return Cell(
            load=load,
            ask=ask,
            answers=min(answers, MAX_ARRIVALS),
            rate=capacity * (load.percent or 0) / 100,
            warm_up_answers=0,
            is_cold=self._is_cold,
            seed=seed,
        )

    def first_cell(self) -> Cell:
        """One answer: the end of a start. A first token may show as nothing, where a parser waits for what follows."""
        return Cell(load=Load(streams=1), ask=self._ask(FIRST_TOKENS), answers=1, warm_up_answers=0)

    def _answers(self, streams: int) -> int:
        wanted = ceil(self.min_answers / streams)
        return streams * max(self.min_answers_per_stream, min(wanted, self.max_answers_per_stream))

    @property
    def _is_cold(self) -> bool:
        return self.prefix == "cold"

    def _ask(self, tokens: int, client_seconds_per_token: float = 0.0) -> Ask:
        return Ask(
            conversation=self.conversation[:EXCHANGE] * self.turns + self.conversation[EXCHANGE:],
            max_output_tokens=tokens,
            ignores_end=self.engine == "vllm",
            client_seconds_per_token=client_seconds_per_token,
        )

    def order(self, round_number: int) -> tuple[str, ...]:
        """Who is measured when: forwards in odd rounds, backwards in even ones, so that nobody is always warm."""
        return self.peers if round_number % 2 else self.peers[::-1]
