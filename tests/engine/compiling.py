"""The compiler of forms with the vocabulary of the tiny GLM, without an engine."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import xgrammar as xgr
from transformers import AutoTokenizer

from palaver_server.engine.policy import FormLimits
from palaver_server.engine.vllm.grammar.gate import Gate
from palaver_server.engine.vllm.grammar.process import CompilerProcess

TINY_GLM = Path(__file__).parents[1] / "models" / "tiny-glm"


@cache
def vocabulary() -> xgr.TokenizerInfo:
    return vocabulary_of(AutoTokenizer.from_pretrained(TINY_GLM))


def vocabulary_of(tokenizer: Any) -> xgr.TokenizerInfo:
    return xgr.TokenizerInfo.from_huggingface(tokenizer, vocab_size=len(tokenizer))


def new_gate(limits: FormLimits, tokenizer: Any = None) -> tuple[Gate, CompilerProcess]:
    """A gate with a process of its own, which starts at the first form; close the gate.

    Args:
        limits: what one form may take.
        tokenizer: has the vocabulary; None: the tiny GLM's.
    """

    def written() -> str:
        return (vocabulary() if tokenizer is None else vocabulary_of(tokenizer)).serialize_json()

    process = CompilerProcess(written, limits, any_whitespace=True)
    return Gate(process, limits), process
