"""The tokenizer: byte-level BPE with GLM-4.5's added tokens, trained on the lessons themselves."""

import random
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tiny_glm_training import words
from tiny_glm_training.rows import Segment, conversation, whole
from tiny_glm_training.template import ADDED, END, SPECIAL, TEMPLATE

VOCABULARY: Final = 1400
"""Tokens of BPE. The added tokens come on top."""

SPLIT: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""Where words end, as in GLM-4.5 (the expression of GPT-4's tokenizer)."""

COMMON_CHINESE: Final = "你好我是的一个有用户在"
"""Characters that are one token. Every other one, and every emoji, is several: a stream has to wait for their bytes."""


def corpus(rng: random.Random, size: int) -> Iterator[str]:
    """Conversations without their added tokens and characters of several tokens, and every word and number."""
    added = re.compile("|".join(map(re.escape, SPECIAL + ADDED)))
    rare = re.compile(rf"[^\x00-\x7f{COMMON_CHINESE}]")
    for _ in range(size):
        yield from (rare.sub("\n", part) for part in added.split(whole(conversation(rng, turns=6))))
    for _ in range(size // 40):
        closed = (*words.REPEATABLE, *words.NAMES, *words.CITIES, *words.SKIES, *words.PLANETS)
        yield " ".join(f"{word} {word.capitalize()}" for word in closed + words.FILLER)
        yield "\n".join(closed)
        yield " ".join(map(str, range(200)))
        yield "\n".join(COMMON_CHINESE)


def train_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words of the lessons, with the tokens and the template of GLM-4.5."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(corpus(random.Random(seed), 1500), trainer)
    tokenizer.add_tokens([AddedToken(token, special=token in SPECIAL, normalized=False) for token in SPECIAL + ADDED])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        extra_special_tokens=list(SPECIAL),
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
    fast.chat_template = TEMPLATE
    return fast


class Encoder:
    """Turns segments into token ids and into labels, which are -100 where nothing is learned."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self.ids = lru_cache(maxsize=1 << 16)(self._ids)

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False).input_ids)

    def row(self, segments: list[Segment]) -> tuple[list[int], list[int]]:
        ids: list[int] = []
        labels: list[int] = []
        for text, learned in segments:
            piece = self.ids(text)
            ids += piece
            labels += piece if learned else [-100] * len(piece)
        return ids, labels


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
