"""Figures of calls that have ended. A call costs some ten additions, a token nothing."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from palaver_server.telemetry.call_record import AnswerRecord, CallRecord

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
        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, meaning, labels, buckets=buckets, registry=registry)

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
            self._tokens.labels(kind)  # there from the start: a rate needs a first value

    def call_ended(self, record: CallRecord) -> None:
        """Count a call."""
        exemplar = None if record.trace_id is None else {"trace_id": record.trace_id}
        service, method, client = record.service, record.method, self._client(record.client)
        self._calls.labels(service, method, record.code, record.tier or NO_TIER).inc(1, exemplar)
        self._duration.labels(service, method).observe(record.duration_seconds, exemplar)
        self._client_calls.labels(client, record.code).inc()
        if record.reason is not None:
            self._errors.labels(method, record.reason).inc(1, exemplar)
        if record.answer is not None:
            self._count_answer(record.answer, client, exemplar)
            lag = record.reader_lag_seconds
            if lag is not None and lag >= SLOW_READER_SECONDS:
                self._slow_readers.inc()

    def _count_answer(self, answer: AnswerRecord, client: str, exemplar: dict[str, str] | None) -> None:
        self._tokens.labels("prompt").inc(answer.prompt_tokens)
        self._tokens.labels("cached_prompt").inc(answer.cached_prompt_tokens)
        self._tokens.labels("output").inc(answer.output_tokens)
        self._tokens.labels("reasoning").inc(answer.reasoning_tokens)
        self._client_tokens.labels(client, "prompt").inc(answer.prompt_tokens)
        self._client_tokens.labels(client, "output").inc(answer.output_tokens)
        if answer.is_streamed:
            self._deltas.inc(answer.delta_count)
            self._streamed_tokens.inc(answer.output_tokens)
        for histogram, seconds in (
            (self._admission, answer.admitted_seconds),
            (self._engine_queue, answer.engine_queue_seconds),
            (self._first_token, answer.first_delta_seconds),
            (self._per_token, answer.seconds_per_token),
        ):
            if seconds is not None:
                histogram.observe(seconds, exemplar)

    def _client(self, client: str) -> str:
        if client in self._clients:
            return client
        if len(self._clients) >= MAX_CLIENTS:
            return OTHER_CLIENTS
        self._clients.add(client)
        return client
