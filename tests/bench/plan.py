"""What is measured: the settings of one run, stated in its results."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

ROOT = Path(__file__).resolve().parents[2]
"""The checkout; every process of the benchmark runs in it."""
TINY_MODEL = Path("tests", "models", "tiny-glm")
"""A few million parameters: the engine is so fast that what stands in front of it is the bottleneck."""

MAX_STREAMS = 512
"""What the engine's flags and the servers' limits make room for at once."""

EngineName = Literal["vllm", "scripted"]

ENGINE_FLAGS = (
    *("--max-model-len", "2048"),
    *("--dtype", "bfloat16"),
    "--enforce-eager",
    *("--max-num-seqs", str(MAX_STREAMS)),
    *("--kv-cache-memory-bytes", "1G"),
)
"""vLLM's engine arguments, the same for every peer, so that nobody's defaults decide."""

CONVERSATION = (
    ("user", "Count to 21."),
    ("assistant", " ".join(map(str, range(1, 22))) + "."),
    ("user", "Sing without end."),
)
"""64 tokens for the tiny model, which sings until it is cut off, so that an answer has all the tokens asked for."""

MIN_ANSWERS = 160
"""Answers behind each figure, so that a 99th percentile is one of them and a cell takes seconds."""
MIN_ANSWERS_PER_STREAM = 6
MAX_ANSWERS_PER_STREAM = 40
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
    """One measurement: so many streams, each asking anew as soon as its answer has ended."""

    model_config = ConfigDict(frozen=True)

    ask: Ask
    streams: int
    answers_per_stream: int
    warm_up_answers: int = WARM_UP_ANSWERS


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
    """Output tokens of each answer."""
    engine_flags: tuple[str, ...] = ENGINE_FLAGS
    conversation: tuple[tuple[str, str], ...] = CONVERSATION
    min_answers: int = MIN_ANSWERS
    min_answers_per_stream: int = MIN_ANSWERS_PER_STREAM
    max_answers_per_stream: int = MAX_ANSWERS_PER_STREAM

    def cell(self, streams: int, client_seconds_per_token: float) -> Cell:
        """The measurement with so many streams."""
        wanted = ceil(self.min_answers / streams)
        return Cell(
            ask=Ask(
                conversation=self.conversation,
                max_output_tokens=self.tokens,
                ignores_end=self.engine == "vllm",
                client_seconds_per_token=client_seconds_per_token,
            ),
            streams=streams,
            answers_per_stream=max(self.min_answers_per_stream, min(wanted, self.max_answers_per_stream)),
        )

    def first_cell(self) -> Cell:
        """One answer: the end of a start. A first token may show as nothing, where a parser waits for what follows."""
        ask = Ask(conversation=self.conversation, max_output_tokens=FIRST_TOKENS)
        return Cell(ask=ask, streams=1, answers_per_stream=1, warm_up_answers=0)

    def order(self, round_number: int) -> tuple[str, ...]:
        """Who is measured when: forwards in odd rounds, backwards in even ones, so that nobody is always warm."""
        return self.peers if round_number % 2 else self.peers[::-1]
