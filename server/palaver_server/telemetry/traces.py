"""Spans of calls, sent to an OpenTelemetry collector. Imported only where traces are on.

A call's spans are made when it has ended, from times that are known by then: nothing runs while tokens are written.
Names are those of OpenTelemetry's conventions for RPC and for generative AI
(https://opentelemetry.io/docs/specs/semconv/rpc/, https://github.com/open-telemetry/semantic-conventions-genai)::

    palaver.v1.ChatService/StreamChat   SERVER     rpc.*; events: admitted, first token
    └─ chat MODEL                       INTERNAL   gen_ai.*
       ├─ queue                         INTERNAL   the engine has the request, and does other work
       ├─ prefill                       INTERNAL   to the first token
       └─ decode                        INTERNAL   to the last token

No text of the conversation goes into them, nor any other text that a caller chooses.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from palaver_server.telemetry.call_record import UNKNOWN, AnswerRecord, CallRecord

SERVER_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
"""Codes for which the conventions make a server's span an error."""
QUIET_SERVICES = frozenset({"grpc.health.v1.Health"})
"""Probes, every second or so: no span is worth having of them."""
QUEUE_SPANS = 8192
BATCH_SPANS = 1024
FLUSH_SECONDS = 5.0
"""What a stop waits for the last spans."""
EXPORT_SECONDS = 5.0
_NANO = 1_000_000_000
_OPTIONS = {
    "max_output_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "choice_count": "gen_ai.request.choice.count",
}
"""Numbers alone: stop sequences are text of the caller."""


class CallTracer:
    """Implements ``telemetry.call_record.CallObserver``.

    Args:
        endpoint: of the collector: ``http://host:4317``, or ``https://`` for TLS.
        ratio: the part of the traces that begin here which is kept, 0 to 1. A caller's own decision is followed.
        version: palaver's own.
    """

    def __init__(self, endpoint: str, ratio: float, version: str) -> None:
        # What cannot be delivered is dropped without a word: a collector that is away must not fill the log.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create({"service.name": "palaver", "service.version": version}),
            shutdown_on_exit=False,
        )
        exporter = OTLPSpanExporter(endpoint, insecure=not endpoint.startswith("https://"), timeout=EXPORT_SECONDS)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS, max_export_batch_size=BATCH_SPANS)
        )
        self._tracer = self._provider.get_tracer("palaver", version)
        self._propagator = TraceContextTextMapPropagator()

    def call_ended(self, record: CallRecord) -> None:
        """Make the spans of a call."""
        if record.service in QUIET_SERVICES:
            return
        parent = self._propagator.extract(_texts(record.metadata))
        method = "_OTHER" if record.service == UNKNOWN else f"{record.service}/{record.method}"
        span = self._tracer.start_span(
            method, parent, SpanKind.SERVER, _rpc_attributes(record, method), start_time=_nanoseconds(record.began)
        )
        if not span.is_recording():
            return
        record.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
        if record.code in SERVER_FAULTS:
            span.set_status(Status(StatusCode.ERROR))
        if (answer := record.answer) is not None:
            _add_event(span, record, "admitted", answer.admitted_seconds)
            _add_event(span, record, "first token", answer.first_delta_seconds)
            self._add_inference(record, answer, trace.set_span_in_context(span))
        span.end(_nanoseconds(record.began + record.duration_seconds))

    def stop(self) -> None:
        """Send what is left, for a bounded time. Blocks."""
        self._provider.force_flush(int(FLUSH_SECONDS * 1000))
        self._provider.shutdown()

    def _add_inference(self, record: CallRecord, answer: AnswerRecord, parent: Context) -> None:
        if answer.prepared_seconds is None:  # the model was never asked
            return
        began = record.began + answer.prepared_seconds
        ended = record.began + record.duration_seconds
        span = self._tracer.start_span(
            f"chat {answer.model}",
            parent,
            SpanKind.INTERNAL,
            _gen_ai_attributes(record, answer),
            start_time=_nanoseconds(began),
        )
        if record.code != "OK":
            span.set_status(Status(StatusCode.ERROR))
        steps = (
            ("queue", 0.0, answer.engine_queue_seconds),
            ("prefill", answer.engine_queue_seconds, answer.engine_first_token_seconds),
            ("decode", answer.engine_first_token_seconds, answer.engine_total_seconds),
        )
        inside = trace.set_span_in_context(span)
        for name, start, end in steps:
            if start is not None and end is not None:
                step = self._tracer.start_span(name, inside, start_time=_nanoseconds(began + start))
                step.end(_nanoseconds(began + end))
        span.end(_nanoseconds(ended))


def _rpc_attributes(record: CallRecord, method: str) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "rpc.system.name": "grpc",
        "rpc.method": method,
        "rpc.response.status_code": record.code,
        "palaver.request_id": record.request_id,
        "palaver.client": record.client,
    }
    if record.code in SERVER_FAULTS:
        attributes["error.type"] = record.reason or record.code
    if record.reason is not None:
        attributes["palaver.reason"] = record.reason
    return attributes


def _gen_ai_attributes(record: CallRecord, answer: AnswerRecord) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "palaver",
        "gen_ai.request.model": answer.model,
        "gen_ai.response.model": answer.model,
        "gen_ai.request.stream": answer.is_streamed,
        "gen_ai.usage.input_tokens": answer.prompt_tokens,
        "gen_ai.usage.output_tokens": answer.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": answer.cached_prompt_tokens,
        "gen_ai.usage.reasoning.output_tokens": answer.reasoning_tokens,
    }
    if answer.answer_id:
        attributes["gen_ai.response.id"] = answer.answer_id
    options = answer.options()
    for option, attribute in _OPTIONS.items():
        value = options.get(option)
        if isinstance(value, int | float):
            attributes[attribute] = value
    if answer.finish_reasons:
        attributes["gen_ai.response.finish_reasons"] = answer.finish_reasons
    if answer.first_delta_seconds is not None and answer.prepared_seconds is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = answer.first_delta_seconds - answer.prepared_seconds
    if record.code != "OK":
        attributes["error.type"] = record.reason or record.code
    return attributes


def _add_event(span: Span, record: CallRecord, name: str, seconds: float | None) -> None:
    if seconds is not None:
        span.add_event(name, timestamp=_nanoseconds(record.began + seconds))


def _texts(metadata: Mapping[str, str | bytes]) -> dict[str, str]:
    """Of a caller's metadata, the trace and the span that called.

    Not its ``tracestate``: that is 512 characters of the caller's choice, for those who call on, and we call nobody.
    """
    value = metadata.get("traceparent")
    return {"traceparent": value} if isinstance(value, str) else {}


def _nanoseconds(seconds: float) -> int:
    return int(seconds * _NANO)
