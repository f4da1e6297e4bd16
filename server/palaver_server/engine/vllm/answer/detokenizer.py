"""vLLM's detokenizer, for outputs that bring several tokens at once."""

from __future__ import annotations

from functools import lru_cache

import tokenizers.decoders
from vllm.v1.engine.detokenizer import FastIncrementalDetokenizer


class BundleDetokenizer(FastIncrementalDetokenizer):
    """Turns the tokens of one output into text together, where nothing has to be known of each of them.

    Made by vLLM, which knows its base class alone; its class is set afterwards.
    """

    @property
    def is_plain(self) -> bool:
        """Whether nothing has to be known of a token but its text: no stop sequence to find, no space to leave out."""
        return not self.stop and self.spaces_between_special_tokens

    def update(self, new_token_ids: list[int], stop_terminated: bool) -> str | None:
        """Take new tokens; see ``BaseIncrementalDetokenizer.update``. Return a stop sequence that they end."""
        if len(new_token_ids) == 1 or not self.is_plain:
            return super().update(new_token_ids, stop_terminated)
        self.token_ids.extend(new_token_ids)
        # The token that ended the answer is none of its text.
        shown = new_token_ids[:-1] if stop_terminated and not self.include_stop_str_in_output else new_token_ids
        if shown:
            self.output_text += self._text_of(shown)
        return None

    def _text_of(self, token_ids: list[int]) -> str:
        # Of tokens that go together nothing is told while the last one is a part of a character: an answer may end so.
        if not _is_part(self.tokenizer, token_ids[-1]):
            try:
                return self.stream.step(self.tokenizer, token_ids) or ""
            except Exception:  # noqa: BLE001  # the library has no other; vLLM's own way tells a token's faults apart
                self.stream = tokenizers.decoders.DecodeStream(skip_special_tokens=self.skip_special_tokens)
        return "".join(map(self.decode_next, token_ids))


@lru_cache(maxsize=1 << 16)
def _is_part(tokenizer: tokenizers.Tokenizer, token_id: int) -> bool:
    """Whether a token is no whole characters by itself."""
    return "\N{REPLACEMENT CHARACTER}" in tokenizer.decode([token_id], skip_special_tokens=False)
