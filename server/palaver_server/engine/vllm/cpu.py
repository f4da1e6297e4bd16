"""vLLM's arguments where there is no GPU: what stands in place of vLLM's defaults, and why. Imports nothing of vLLM."""

from __future__ import annotations

from typing import NamedTuple


class CpuDefault(NamedTuple):
    """A value and its reason."""

    value: str | int | bool
    reason: str


CPU_DEFAULTS = {
    "enforce_eager": CpuDefault(True, "compiling wants a C++ compiler and minutes at every start"),
    "dtype": CpuDefault("bfloat16", "half the memory traffic of float32, which is what bounds generation"),
    # Of a prompt, whole blocks are found again. vLLM's own CPU default of 128 tokens is more than most turns have.
    # Where attention has one size only (MLA without AMX: 16; DeepSeek-V4: 256), vLLM takes that and says so.
    "block_size": CpuDefault(32, "a next turn finds all but the last 32 tokens of what was said in the prefix cache"),
    # Measured with SmolLM2-135M on two cores: 430 tokens/s at 16 streams, 620 at 64.
    "max_num_seqs": CpuDefault(64, "throughput hardly grows beyond, and each sequence costs scheduling"),
}
"""By the names of vLLM's engine arguments."""
