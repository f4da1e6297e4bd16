"""Figures of calls that have ended. A call costs some ten additions, a token nothing."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from palaver_server.telemetry.call_record import AnswerRecord, CallRecord
from palaver_server.telemetry.metrics.series import Count, Spread

MAX_CLIENTS = 256
"""Clients with series of their own, first come first served; all others share ``OTHER_CLIENTS``."""
OTHER_CLIENTS = "(others)"
NO_TIER = "none"
SLOW_READER_SECONDS = 1.0
"""A reader that is so much later than the engine counts as slow."""

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds. 0.5 is the objective for a first token."""
_DURATION = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.25, 0.5, 1)


class CallMetrics:
    """Implements ``telemetry.call_record.CallObserver``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, meaning: str, *labels: str) -> Count:
            return Count(registry, name, meaning, labels)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Spread:
            return Spread(registry, name, meaning, buckets, labels)

        self._calls = counter(
            "palaver_calls_total",
            "Calls that have ended, by gRPC service, method, status code and the caller's tier.",
            *("service", "method", "code", "tier"),
        )
        self._errors = counter(
            "palaver_call_errors_total", "Calls that have failed, by the reason they failed for.", "method", "reason"
        )
        self._duration = histogram(
            "palaver_call_duration_seconds", "Whole time of a call.", _DURATION, "service", "method"
        )
        self._first_token = histogram(
            "palaver_time_to_first_token_seconds",
            "From the arrival of a streamed call to its first piece, the wait in the queue included.",
            _LATENCY,
        )
        self._per_token = histogram(
            "palaver_time_per_output_token_seconds", "Mean time between two tokens, one value an answer.", _PER_TOKEN
        )
        self._admission = histogram(
            "palaver_admission_wait_seconds", "Wait for a permit, before the engine hears of a call.", _LATENCY
        )
        self._engine_queue = histogram(
            "palaver_engine_queue_seconds", "Wait in the engine until it works on a call.", _LATENCY
        )
        self._tokens = counter(
            "palaver_tokens_total",
            "Tokens of calls that have ended, whole or broken off. cached_prompt is a part of prompt, reasoning a "
            "part of output.",
            "type",
        )
        self._deltas = counter("palaver_stream_deltas_total", "Pieces of streamed answers.")
        self._streamed_tokens = counter(
            "palaver_streamed_tokens_total", "Tokens of streamed answers; over the pieces, how many go into one."
        )
        self._slow_readers = counter(
            "palaver_slow_readers_total",
            f"Streamed answers whose reader was {SLOW_READER_SECONDS:g} second or more behind the engine at the end, "
            "or had taken nothing for so long when the answer was broken off.",
        )
        self._client_calls = counter(
            "palaver_client_calls_total", "Calls that have ended, by client and status code.", "client", "code"
        )
        self._client_tokens = counter(
            "palaver_client_tokens_total", "Tokens of calls that have ended, by client.", "client", "type"
        )
        self._clients: set[str] = set()
        for kind in ("prompt", "cached_prompt", "output", "reasoning"):
            self._tokens.add(0, (kind,))  # there from the start: a rate needs a first value

    def call_ended(self, record: CallRecord) -> None:
        """Count a call."""
        trace_id, code, client = record.trace_id, record.code, self._client(record.client)
        service, method = record.service, record.method
        self._calls.add(1, (service, method, code, record.tier or NO_TIER), trace_id)
        self._duration.observe(record.duration_seconds, (service, method), trace_id)
        self._client_calls.add(1, (client, code))
        if record.reason is not None:
            self._errors.add(1, (method, record.reason), trace_id)
        if record.answer is not None:
            self._count_answer(record.answer, client, trace_id)
            lag = record.reader_lag_seconds
            if lag is not None and lag >= SLOW_READER_SECONDS:
                self._slow_readers.add(1)

    def _count_answer(self, answer: AnswerRecord, client: str, trace_id: str | None) -> None:
        self._tokens.add(answer.prompt_tokens, ("prompt",))
        self._tokens.add(answer.cached_prompt_tokens, ("cached_prompt",))
        self._tokens.add(answer.output_tokens, ("output",))
        self._tokens.add(answer.reasoning_tokens, ("reasoning",))
        self._client_tokens.add(answer.prompt_tokens, (client, "prompt"))
        self._client_tokens.add(answer.output_tokens, (client, "output"))
        if answer.is_streamed:
            self._deltas.add(answer.delta_count)
            self._streamed_tokens.add(answer.output_tokens)
        for histogram, seconds in (
            (self._admission, answer.admitted_seconds),
            (self._engine_queue, answer.engine_queue_seconds),
            (self._first_token, answer.first_delta_seconds),
            (self._per_token, answer.seconds_per_token),
        ):
            if seconds is not None:
                histogram.observe(seconds, (), trace_id)

    def _client(self, client: str) -> str:
        if client in self._clients:
            return client
        if len(self._clients) >= MAX_CLIENTS:
            return OTHER_CLIENTS
        self._clients.add(client)
        return client
