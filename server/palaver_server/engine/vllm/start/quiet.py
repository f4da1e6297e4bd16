"""A start that is not drowned in warnings."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fewer_warnings() -> Iterator[None]:
    """Leave out vLLM's warnings of a start, unless more than warnings are asked for.

    They tell of what the machine lacks and of the defaults that are chosen for it, a dozen at every start; none is a
    thing that an operator could mend.
    """
    logger = logging.getLogger("vllm")
    before = logger.level
    if logger.getEffectiveLevel() >= logging.WARNING:
        logger.setLevel(logging.ERROR)
    # "triton not found", printed past our logging on every machine without a GPU.
    for name in ("torch.utils.flop_counter", "torch._library.triton"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
