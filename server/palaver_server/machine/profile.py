"""The start profile: vLLM's arguments for the GPUs found and the model, each with its reason.

What the operator has set stays, and the other values are chosen beside it. Sources: vLLM 0.32 (``engine/arg_utils.py``
for its own defaults by memory, ``platforms/cuda.py`` for number formats by capability), its guide to optimization, and
its recipe for GLM-4.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from palaver_server.machine.gpus import Gpu
from palaver_server.machine.memory import GIB, Room, ServedModel

AMPERE, ADA = (8, 0), (8, 9)
"""The first capabilities that compute in bfloat16, and in FP8 (CUDA programming guide, arithmetic instructions)."""
OLDEST = (7, 5)
"""vLLM 0.32 is built for Turing and newer."""
LARGE_BYTES = 70 * GIB
"""Where vLLM's own defaults for large GPUs begin."""
HUGE_BYTES = 160 * GIB
LARGE_UTILIZATION = 0.95
"""vLLM's recipe for GLM-4.5 on H100: a twentieth of 80 GiB holds what is outside vLLM's own count."""
USUAL_UTILIZATION = 0.92
"""vLLM's default."""
DRIVER_BYTES = GIB // 4
"""Left free beside other programs: the driver takes a little more as soon as a GPU is used."""
USUAL_CONVERSATION = 4096
"""Tokens of a conversation for which room is counted; most are shorter."""
WANTED_CONVERSATIONS = 64
"""Conversations of that length that the KV cache should hold: as many as palaver admits where nothing is known."""
LONG_CONVERSATIONS = 4
"""Conversations of the full length that fit at once, so that a long one does not push out everybody else's."""
SHORTEST_CONTEXT = 2048
TIGHT_BYTES = 2 * GIB
"""Where less is left for the KV cache, the GiB of CUDA graphs is worth more as room for conversations."""
TOKENS_PER_SEQUENCE = 1024
"""Of the KV cache, for each sequence that may run: at half this, sequences push each other out."""
GRAPH_SEQUENCES = 512
"""The largest batch for which vLLM records CUDA graphs; larger ones run slower a sequence."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One value."""

    name: str
    """As vLLM names its flag, without the dashes; or a setting of palaver."""
    value: str | int | float | bool
    reason: str
    is_ours: bool = False
    """Whether it is a setting of palaver's."""

    @property
    def flags(self) -> tuple[str, ...]:
        """For vLLM's command line."""
        return (f"--{self.name}",) if self.value is True else (f"--{self.name}", str(self.value))


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProfile:
    """What was chosen."""

    machine: str
    """The GPUs, or that there are none."""
    choices: tuple[Choice, ...] = ()
    kept: tuple[str, ...] = ()
    """Names of what the operator has set, where the profile would have had a say."""
    notes: tuple[str, ...] = ()
    """Sentences about what was not chosen and could be."""
    trouble: str = ""
    """Why the model will not run here, as far as can be told before it is loaded; empty where it will."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def vllm_flags(self) -> tuple[str, ...]:
        """Arguments for vLLM; those of the operator come behind them and do not meet them."""
        return tuple(flag for choice in self.choices if not choice.is_ours for flag in choice.flags)

    def value(self, name: str) -> str | int | float | bool | None:
        """The value of one choice; None where it was left to vLLM."""
        return next((choice.value for choice in self.choices if choice.name == name), None)


def choose(gpus: Sequence[Gpu], ways: Sequence[int], model: ServedModel, given: Mapping[str, str]) -> StartProfile:
    """Choose for GPUs that are alike.

    Args:
        gpus: at least one, whose memory and capability are known.
        ways: sizes of tensor parallelism to choose from, rising.
        model: what is served.
        given: vLLM's arguments that the operator has set, by name; ``max-concurrent-requests`` among them.
    """
    return _Chooser(gpus, ways, model, given).profile()


class _Chooser:
    def __init__(self, gpus: Sequence[Gpu], ways: Sequence[int], model: ServedModel, given: Mapping[str, str]) -> None:
        self._gpus, self._ways, self._model, self._given = gpus, ways, model, given
        self._capability = min(gpu.capability or (0, 0) for gpu in gpus)
        self._gpu_bytes = min(gpu.total_bytes or 0 for gpu in gpus)
        self._choices: list[Choice] = []
        self._kept: list[str] = []
        self._notes: list[str] = []

    def profile(self) -> StartProfile:
        trouble = self._decide()
        gpu, count = self._gpus[0], len(self._gpus)
        machine = f"{f'{count} x ' if count > 1 else ''}{gpu.name} of {self._gpu_bytes / GIB:.0f} GiB"
        return StartProfile(
            machine=machine,
            choices=tuple(self._choices),
            kept=tuple(self._kept),
            notes=tuple(self._notes),
            trouble=trouble,
        )

    def _decide(self) -> str:
        """Choose one after another; return what is in the way."""
        if self._capability < OLDEST:
            spoken = ".".join(map(str, self._capability))
            return f"its compute capability is {spoken}, and vLLM needs {'.'.join(map(str, OLDEST))} or newer"
        if self._capability < AMPERE:
            self._choose("dtype", "float16", "these GPUs do not compute in bfloat16")
        utilization = self._utilization()
        batched = self._batched_tokens()
        shape = self._model.shape
        if shape is None:
            self._notes.append(
                "What the model's configuration says does not suffice to count its memory; the rest is left to vLLM."
            )
            return ""
        most = GRAPH_SEQUENCES if self._gpu_bytes >= LARGE_BYTES else 256
        rooms = [
            Room(
                gpu_bytes=self._gpu_bytes,
                ways=ways,
                utilization=utilization,
                batched_tokens=batched,
                sequences=most,
                has_graphs="enforce-eager" not in self._given,
            )
            for ways in self._possible_ways()
        ]
        weights = self._weight_bytes(rooms[-1])
        room = self._ways_to_use(rooms, weights)
        if room.kv_tokens(weights, shape) and room.left_bytes(weights, shape) < TIGHT_BYTES:
            self._choose("enforce-eager", True, "little is left beside the weights: a GiB more for conversations")
            room = replace(room, has_graphs=False)
        tokens = self._kv_tokens(room, weights)
        if tokens < SHORTEST_CONTEXT:
            working = int(self._gpu_bytes * utilization) - room.left_bytes(weights, shape) - weights // room.ways
            needed = weights + working * room.ways + SHORTEST_CONTEXT * shape.kv_bytes_per_token()
            return (
                f"{self._model.name} needs about {needed / GIB / utilization:.0f} GiB, and "
                f"{room.ways * self._gpu_bytes / GIB:.0f} are here"
            )
        self._context(tokens)
        self._sequences(tokens, most)
        self._tell_of_idle(room.ways)
        return ""

    def _utilization(self) -> float:
        usual = LARGE_UTILIZATION if self._gpu_bytes >= LARGE_BYTES else USUAL_UTILIZATION
        if (given := _number(self._given.get("gpu-memory-utilization"))) is not None:
            self._kept.append("gpu-memory-utilization")
            return given
        if fixed := next((n for n in ("kv-cache-memory-bytes", "num-gpu-blocks-override") if n in self._given), None):
            self._kept.append(fixed)
            return usual
        free = min(gpu.free_bytes if gpu.free_bytes is not None else self._gpu_bytes for gpu in self._gpus)
        possible = int(100 * (free - DRIVER_BYTES) / self._gpu_bytes) / 100
        if possible < usual:
            others = (self._gpu_bytes - free) / GIB
            return self._choose_number("gpu-memory-utilization", max(possible, 0.01), f"others hold {others:.1f} GiB")
        reason = (
            "what is outside vLLM's own count needs no more of a large GPU"
            if usual > USUAL_UTILIZATION
            else ("vLLM's own value, which leaves room for CUDA's context")
        )
        return self._choose_number("gpu-memory-utilization", usual, reason)

    def _batched_tokens(self) -> int:
        if (given := _number(self._given.get("max-num-batched-tokens"))) is not None:
            self._kept.append("max-num-batched-tokens")
            return int(given)
        if self._gpu_bytes >= HUGE_BYTES:
            value, reason = 16_384, "vLLM's own value for GPUs of 160 GiB and more"
        elif self._gpu_bytes >= LARGE_BYTES and "a100" not in self._gpus[0].name.lower():
            value, reason = 8192, "vLLM's own value for GPUs of 70 GiB and more that are newer than A100"
        else:
            value, reason = 2048, "vLLM's own value for such GPUs"
        pieces = f"{reason}; longer prompts go in pieces, between which others' answers go on"
        return int(self._choose_number("max-num-batched-tokens", value, pieces))

    def _possible_ways(self) -> list[int]:
        if (given := _number(self._given.get("tensor-parallel-size"))) is not None:
            self._kept.append("tensor-parallel-size")
            return [int(given)]
        # GPUs that the operator gives to other kinds of parallelism are taken already.
        others = 1
        for name in ("pipeline-parallel-size", "data-parallel-size"):
            others *= int(_number(self._given.get(name)) or 1)
        shape = self._model.shape
        possible = [w for w in self._ways if w * others <= len(self._gpus) and shape and shape.can_be_divided(w)]
        return possible or [1]

    def _weight_bytes(self, largest: Room) -> int:
        """The weights as they are served; quantised at load where they do not fit otherwise."""
        weights, shape = self._model.weight_bytes, self._model.shape
        assert shape is not None  # noqa: S101  # for the type checker
        if (given := self._given.get("quantization")) is not None:
            self._kept.append("quantization")
            return weights // 2 if given.startswith("fp8") and self._model.quantization is None else weights
        halved = weights * 11 // 20  # embeddings and norms stay as they are
        if (
            self._model.quantization is None
            and self._capability >= ADA
            and largest.kv_tokens(weights, shape) < SHORTEST_CONTEXT <= largest.kv_tokens(halved, shape)
        ):
            self._choose(
                "quantization",
                "fp8",
                f"the weights of {weights / GIB:.0f} GiB do not fit, and do at 8 bits; answers differ a little",
            )
            return halved
        return weights

    def _ways_to_use(self, rooms: Sequence[Room], weights: int) -> Room:
        """The fewest GPUs that hold the weights and enough conversations; all where none is enough."""
        shape = self._model.shape
        assert shape is not None  # noqa: S101
        wanted = WANTED_CONVERSATIONS * min(USUAL_CONVERSATION, self._model.context_length or USUAL_CONVERSATION)
        room = next((room for room in rooms if room.kv_tokens(weights, shape) >= wanted), rooms[-1])
        if len(rooms) > 1 or room.ways > 1:
            what = f"the weights ({weights / GIB:.1f} GiB) and {WANTED_CONVERSATIONS} conversations of 4,096 tokens"
            enough = room.kv_tokens(weights, shape) >= wanted
            reason = f"the fewest that hold {what}" if enough else f"all that work together, as {what} want more"
            if "tensor-parallel-size" not in self._given:
                self._choose("tensor-parallel-size", room.ways, reason)
        return room

    def _kv_tokens(self, room: Room, weights: int) -> int:
        shape = self._model.shape
        assert shape is not None  # noqa: S101
        if (given := self._given.get("kv-cache-dtype")) is not None:
            self._kept.append("kv-cache-dtype")
            return room.kv_tokens(weights, shape, 1 if given.startswith("fp8") else 2)
        tokens = room.kv_tokens(weights, shape)
        wanted = LONG_CONVERSATIONS * min(2 * USUAL_CONVERSATION, self._model.context_length or USUAL_CONVERSATION)
        halved = room.kv_tokens(weights, shape, 1)
        if tokens < wanted and self._capability >= ADA and halved >= SHORTEST_CONTEXT:
            self._choose(
                "kv-cache-dtype", "fp8", f"{halved:,} tokens fit in place of {tokens:,}; long contexts lose a little"
            )
            return halved
        return tokens

    def _context(self, tokens: int) -> None:
        if "max-model-len" in self._given:
            self._kept.append("max-model-len")
            return
        if "kv-cache-memory-bytes" in self._given or "num-gpu-blocks-override" in self._given:
            return  # the operator has said how large the cache is, and the estimate says nothing about that
        longest = max(SHORTEST_CONTEXT, _power_of_two(tokens // LONG_CONVERSATIONS))
        full = self._model.context_length
        if full is not None and longest < full:
            self._choose(
                "max-model-len",
                longest,
                f"of the model's {full:,}: the KV cache holds about {tokens:,} tokens, {LONG_CONVERSATIONS} such "
                "conversations",
            )

    def _sequences(self, tokens: int, most: int) -> None:
        if (given := _number(self._given.get("max-num-seqs"))) is not None:
            self._kept.append("max-num-seqs")
            chats = int(given)
        else:
            chats = min(most, max(8, _power_of_two(tokens // TOKENS_PER_SEQUENCE)))
            held = "as many as CUDA graphs are recorded for" if most == GRAPH_SEQUENCES else "vLLM's own value"
            few = f"the KV cache holds about {tokens:,} tokens, {TOKENS_PER_SEQUENCE:,} for each"
            self._choose("max-num-seqs", chats, f"{held}; {few}" if chats == most else few)
        if "max-concurrent-requests" in self._given:
            self._kept.append("max-concurrent-requests")
        else:
            self._choices.append(
                Choice("max_concurrent_requests", chats, "the engine runs as many at once", is_ours=True)
            )

    def _tell_of_idle(self, ways: int) -> None:
        if "data-parallel-size" in self._given or "pipeline-parallel-size" in self._given:
            return
        if (idle := len(self._gpus) - ways) >= ways:
            each = "GPU" if ways == 1 else f"{ways} GPUs"
            self._notes.append(
                f"{idle} of {len(self._gpus)} GPUs stay idle: --data-parallel-size {len(self._gpus) // ways} runs the "
                f"model once for each {each}."
            )

    def _choose_number(self, name: str, value: float, reason: str) -> float:
        self._choices.append(Choice(name, value, reason))
        return value

    def _choose(self, name: str, value: str | float | bool, reason: str) -> None:
        if name in self._given:
            self._kept.append(name)
        else:
            self._choices.append(Choice(name, value, reason))


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None  # vLLM says what is wrong with it


def _power_of_two(number: int) -> int:
    """The largest power of two that is not larger; 0 of 0."""
    return 1 << number.bit_length() - 1 if number > 0 else 0
