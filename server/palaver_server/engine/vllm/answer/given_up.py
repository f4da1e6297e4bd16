"""How much was written of an answer that is given up: counted in the moment in which vLLM forgets the request.

An answer in one piece is told at its end alone, so of one that ends before nobody else has seen a token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vllm.v1.engine.output_processor import OutputProcessor


class GivenUp:
    """Stands before ``OutputProcessor.abort_requests``, which vLLM calls whoever gives a request up."""

    def __init__(self, processor: OutputProcessor) -> None:
        self._processor = processor
        self._abort = processor.abort_requests
        self._token_counts: Counter[str] = Counter()
        processor.abort_requests = self._note_and_abort  # type: ignore[method-assign]  # vLLM has no hook for it

    def pop(self, request_id: str) -> int:
        """Give the tokens of a request that was given up, all choices together, and forget it; 0 for any other."""
        return self._token_counts.pop(request_id, 0)

    def _note_and_abort(self, request_ids: Iterable[str], internal: bool) -> list[str]:
        given = list(request_ids)
        known = self._processor.external_req_ids
        # vLLM gives each request an id of its own; a request of several choices comes here again with one for each.
        for own_id in given if internal else [own for one in given for own in known.get(one, ())]:
            state = self._processor.request_states.get(own_id)
            if state is not None and state.detokenizer is not None:
                self._token_counts[state.external_req_id] += state.detokenizer.num_output_tokens()
        return self._abort(given, internal)
