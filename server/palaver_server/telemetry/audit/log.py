"""Makes a record of each call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from palaver_server.telemetry.audit.chain import AuditError, load_keys
from palaver_server.telemetry.audit.writer import AuditWriter
from palaver_server.telemetry.call_record import CallRecord

QUIET_SERVICES = frozenset({"grpc.health.v1.Health", "xds.service.orca.v3.OpenRcaService"})
"""Probes and load balancers ask for nothing that is anybody's."""


class AuditLog:
    """Implements ``telemetry.call_record.CallObserver``, and prometheus_client's ``Collector``.

    Args:
        folder: of the log; made, with a key, where there is none.
        max_file_bytes: at which a new file begins.
        retention_days: after which a file is removed.

    Raises:
        AuditError: the folder cannot be used.
    """

    def __init__(self, folder: Path, *, max_file_bytes: int, retention_days: float) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._keys = load_keys(folder, may_create=True)
            self._writer = AuditWriter(folder, self._keys, max_file_bytes=max_file_bytes, retention_days=retention_days)
        except OSError as error:
            raise AuditError(f"The audit log in {folder} cannot be written: {error.strerror}.") from error

    def call_ended(self, record: CallRecord) -> None:
        """Have a call written down."""
        if record.service not in QUIET_SERVICES:
            self._writer.add(partial(self._describe, record))

    def close(self) -> None:
        """Write what is left. Blocks."""
        self._writer.close()

    def describe(self) -> tuple[Metric, ...]:
        """Nothing, as ``StateCollector``."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """How many records there are, and how many there are not."""
        yield CounterMetricFamily(
            "palaver_audit_records", "Records that were written.", value=self._writer.written_count
        )
        yield CounterMetricFamily(
            "palaver_audit_lost_records", "Records that could not be written.", value=self._writer.lost_count
        )
        yield GaugeMetricFamily(
            "palaver_audit_cut",
            "1 where the end of the audit log was gone when this server began: records were cut off. Else 0.",
            value=self._writer.was_cut,
        )

    def _describe(self, record: CallRecord) -> Mapping[str, Any]:
        """In the writer's thread: hashing a long conversation takes a moment."""
        fields: dict[str, Any] = {
            "kind": "call",
            "time": round(record.began, 6),
            "duration_ms": round(record.duration_seconds * 1000, 3),
            "request_id": record.request_id,
            "client": record.client,
            "key_id": record.key_id,
            "tier": record.tier,
            "peer": record.peer,
            "service": record.service,
            "method": record.method,
            "code": record.code,
            "reason": record.reason,
        }
        if (answer := record.answer) is not None:
            fields |= {
                "answer_id": answer.answer_id,
                "model": answer.model,
                "prompt_tokens": answer.prompt_tokens,
                "cached_prompt_tokens": answer.cached_prompt_tokens,
                "output_tokens": answer.output_tokens,
                "reasoning_tokens": answer.reasoning_tokens,
                "finish_reasons": list(answer.finish_reasons),
            }
        if record.user_id:
            fields["user_hash"] = self._keys.hide(record.user_id.encode())
        if record.prompt is not None:
            fields["prompt_hash"] = self._keys.hide(record.prompt())
        if record.said is not None:
            fields["answer_hash"] = self._keys.hide(record.said())
        return fields
