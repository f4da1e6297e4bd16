"""Numbers so small that a processor has no fast way for them, in a worker that computes without a GPU.

What is below 1.2e-38 in float32 and bfloat16 is subnormal. Many x86 processors take a hundred cycles or more instead
of a few for each operation that meets such a number; others, such as AMD's EPYC with AVX-512, hardly more. Attention
makes them wherever a score is far below its row's best: e to the power of the difference is next to nothing, and times
a value it is less. On processors of the first kind they took half of a step of 64 sequences of the tiny GLM; SmolLM2
makes hardly any. They are some 30 powers of ten below what an answer hangs on, so the processor is told to take zero
for them, as TensorFlow and ONNX Runtime can tell it. float16 has a rule of its own, which is not touched.
"""

from __future__ import annotations


def flush() -> None:
    """Have this thread and those that it makes from now on take zero for subnormal numbers.

    A thread begins with its maker's floating-point environment (pthread_create(3)). So this is called before OpenMP
    makes its own. Where the processor has no such mode, nothing changes.
    """
    import torch  # noqa: PLC0415  # seconds, where it is not there yet

    torch.set_flush_denormal(True)
