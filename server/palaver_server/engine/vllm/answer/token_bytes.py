"""The bytes that a token stands for, which its text cannot tell where it is a piece of a character."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from transformers.convert_slow_tokenizer import bytes_to_unicode
from vllm.tokenizers import TokenizerLike

SPACE_OF_BYTE_LEVEL = "Ġ"
"""How vocabularies of bytes, as GPT-2's was the first of, write a space; no other kind has it as a token."""
SPACE_OF_SENTENCEPIECE = "▁"
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
CACHED_TOKENS = 65536


def token_bytes(tokenizer: TokenizerLike) -> Callable[[int], bytes]:
    """Make the function from a token's id to its bytes, for vocabularies of bytes and of SentencePiece."""
    added = frozenset(tokenizer.get_added_vocab().values())
    is_byte_level = SPACE_OF_BYTE_LEVEL in tokenizer.get_vocab()
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}  # type: ignore[no-untyped-call]

    @lru_cache(CACHED_TOKENS)
    def of(token_id: int) -> bytes:
        (token,) = tokenizer.convert_ids_to_tokens([token_id])
        if not token:  # padding of the vocabulary
            return b""
        if token_id in added:
            return token.encode()
        if is_byte_level:
            return bytes(byte_of[character] for character in token if character in byte_of)
        if piece := _BYTE_PIECE.fullmatch(token):
            return bytes([int(piece[1], 16)])
        return token.replace(SPACE_OF_SENTENCEPIECE, " ").encode()

    return of
