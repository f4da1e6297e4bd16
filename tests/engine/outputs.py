"""Texts in the outputs that vLLM's engine would give of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any


def pieces_of(ids: Sequence[int], cuts: Iterable[int]) -> list[Sequence[int]]:
    """Cut tokens into pieces; cuts are taken as the rest of a division by what there is to cut."""
    places = sorted({0, len(ids), *(cut % (len(ids) + 1) for cut in cuts)})
    return [ids[begin:end] for begin, end in pairwise(places)]


def outputs(
    tokenizer: Any, text: str, cuts: Iterable[int] = (), finish: str = "stop", stop: str | int | None = None
) -> list[Any]:
    """The outputs of one choice.

    Args:
        tokenizer: makes the text's tokens.
        text: what the model says.
        cuts: after how many tokens an output ends, the as ``pieces_of`` has it; none: one output.
        finish: vLLM's word for why the answer ends.
        stop: the stop sequence or token that ends it.
    """
    ids = tokenizer.encode(text, add_special_tokens=False)
    pieces = pieces_of(ids, cuts) or [[]]
    told, found = "", []
    for number, piece in enumerate(pieces):
        is_last = number == len(pieces) - 1
        so_far = tokenizer.decode([token for part in pieces[: number + 1] for token in part])
        if not is_last and so_far.endswith("\ufffd"):
            so_far = told  # vLLM holds back what is no whole character yet
        found.append(
            SimpleNamespace(
                index=0,
                text=so_far[len(told) :],
                token_ids=piece,
                logprobs=None,
                finish_reason=finish if is_last else None,
                stop_reason=stop if is_last else None,
            )
        )
        told = so_far
    return found
