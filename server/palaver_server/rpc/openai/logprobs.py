"""Log probabilities as OpenAI's clients read them, and those of a prompt as vLLM's do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palaver_server.core.logprobs import LogprobEntry, TokenLogprob

LEAST = -9999.0
"""Stands for a probability of zero, which JSON has no number for; also where the engine did not say."""


def logprobs_to_json(tokens: Sequence[TokenLogprob]) -> dict[str, Any]:
    """The ``logprobs`` of a choice or of a piece of one."""
    return {
        "content": [
            {**_entry(token.chosen), "top_logprobs": [_entry(other) for other in token.alternatives]}
            for token in tokens
        ]
    }


def prompt_logprobs_to_json(tokens: Sequence[TokenLogprob]) -> list[dict[str, Any] | None]:
    """The ``prompt_logprobs`` of vLLM: a map by token id for each place, null for the first, which has none."""
    return [None if token.chosen.logprob is None else _by_token_id(token) for token in tokens]


def _by_token_id(token: TokenLogprob) -> dict[str, Any]:
    return {
        str(entry.token_id): {
            "logprob": LEAST if entry.logprob is None else entry.logprob,
            "rank": entry.rank,
            "decoded_token": entry.token,
        }
        for entry in (token.chosen, *token.alternatives)
    }


def _entry(entry: LogprobEntry) -> dict[str, Any]:
    logprob = LEAST if entry.logprob is None else entry.logprob
    return {"token": entry.token, "logprob": max(logprob, LEAST), "bytes": list(entry.raw_bytes)}
