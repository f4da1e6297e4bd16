"""The stage between vLLM's outputs and our deltas: one for each answer that is being written."""

from __future__ import annotations

from vllm.outputs import CompletionOutput

from palaver_server.core.events import Delta


class DeltaStage:
    """Passes new text on as it is.

    Whatever reads more out of a model's text than text, such as tool calls and reasoning, takes this place: it is fed
    every output of one answer, in order.
    """

    def __init__(self) -> None:
        self._held_token_count = 0
        self.token_count = 0
        """Tokens of the answer so far, those that show as no text included."""

    def feed(self, completion: CompletionOutput) -> Delta | None:
        """Turn an output into a delta; None while it shows as no text.

        A token may be a part of a character, or of what may become a stop sequence: vLLM keeps such text back, and its
        token counts with the text that shows at last.
        """
        new_token_count = len(completion.token_ids)
        self.token_count += new_token_count
        self._held_token_count += new_token_count
        if not completion.text:
            return None
        delta = Delta(completion.text, self._held_token_count)
        self._held_token_count = 0
        return delta
