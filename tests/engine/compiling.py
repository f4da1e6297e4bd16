"""The compiler of forms with the vocabulary of the tiny GLM, without an engine."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import xgrammar as xgr
from transformers import AutoTokenizer

from palaver_server.engine.policy import FormLimits
from palaver_server.engine.vllm.grammar.gate import Gate
from palaver_server.engine.vllm.grammar.process import CompilerProcess

TINY_GLM = Path(__file__).parents[1] / "models" / "tiny-glm"


@cache
def vocabulary() -> xgr.TokenizerInfo:
    tokenizer = AutoTokenizer.from_pretrained(TINY_GLM)
    return xgr.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer))


def new_gate(limits: FormLimits) -> tuple[Gate, CompilerProcess]:
    """A gate with a process of its own, which starts at the first form; close the gate."""
    process = CompilerProcess(lambda: vocabulary().serialize_json(), limits, any_whitespace=True)
    return Gate(process, limits), process
