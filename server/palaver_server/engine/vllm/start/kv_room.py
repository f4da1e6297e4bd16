"""How much memory the KV cache gets on a machine without a GPU.

vLLM would reserve nine tenths of the machine's memory at once, which takes seconds and leaves nothing for others.
"""

from __future__ import annotations

from typing import cast

import psutil
import torch
from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.utils.torch_utils import get_dtype_size

MIN_BYTES = 256 * 2**20
"""Enough for many short conversations of any small model, and allocated within a fraction of a second."""
CONTEXTS = 4
"""Conversations of the model's full length that fit at once. Many more fit in practice, as few are that long."""
MAX_MEMORY_FRACTION = 0.5
"""Of the memory that is free at the start; the weights need some, too."""


def give_cpu_kv_cache_room(config: VllmConfig) -> None:
    """Set the size of the KV cache, unless the operator has chosen one way or another."""
    cache = config.cache_config
    has_chosen = (
        cache.kv_cache_memory_bytes is not None
        or cache.gpu_memory_utilization != AsyncEngineArgs.gpu_memory_utilization
        or cache.num_gpu_blocks_override is not None
    )
    if not has_chosen:
        wanted = max(MIN_BYTES, CONTEXTS * config.model_config.max_model_len * bytes_per_token(config))
        cache.kv_cache_memory_bytes = min(wanted, int(psutil.virtual_memory().available * MAX_MEMORY_FRACTION))


def bytes_per_token(config: VllmConfig) -> int:
    """Bytes of keys and values for one token in one worker; an upper bound where layers share or compress them."""
    model, parallel = config.model_config, config.parallel_config
    values = 2 * model.get_num_layers(parallel) * model.get_num_kv_heads(parallel) * model.get_head_size()
    return values * get_dtype_size(cast(torch.dtype, model.dtype))  # its other types are for before it is resolved
