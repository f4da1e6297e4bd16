"""What an operator wants to know, out of two looks at the metrics port: palaver's figures, and vLLM's where it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from palaver_server.cli.top.scrape import Interval, Quantiles, Scrape

ALLOWED, CANCELLED = "allowed", "CANCELLED"
NO_FAILURES = ("OK", CANCELLED)


@dataclass(frozen=True, slots=True)
class Failed:
    """Calls that failed for one reason."""

    reason: str
    count: int
    """In the interval."""
    total: int
    """Since the server began."""


@dataclass(frozen=True, slots=True)
class Served:
    """What one client, tier or method gets, each second."""

    name: str
    calls: float
    failed: float
    tokens: float | None = None
    """Of prompts and answers together; None where they are not counted by this."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One frame. Rates are for each second, times are seconds, sizes are bytes; None is what is not known."""

    model: str
    version: str
    is_ready: bool
    load_phase: str
    load_progress: float
    uptime: float | None
    interval: float
    """What rates and quantiles are about."""
    running: int
    max_running: int
    waiting: int
    max_waiting: int
    engine_running: int | None
    """Sequences that vLLM works on."""
    engine_waiting: int | None
    output_tokens: float
    prompt_tokens: float
    calls: float
    cancelled: float
    first_token: Quantiles
    between_tokens: Quantiles
    admission: Quantiles
    engine_queue: Quantiles
    whole_call: Quantiles
    kv_cache: float | None
    """The part that is in use, 0 to 1."""
    prefix_hits: float | None
    """The part of prompt tokens that the prefix cache had, 0 to 1."""
    preemptions: float | None
    engine_silent: float
    engine_failures: int
    memory: dict[str, int]
    slow_readers: int
    audit_lost: int | None
    failed: list[Failed]
    clients: list[Served]
    tiers: list[Served]
    methods: list[Served]


def figures_of(interval: Interval) -> Figures:
    """Put a frame together."""
    now, has_vllm = interval.after, "vllm:num_requests_running" in interval.after
    build: dict[str, Any] = dict(next(iter(now.each("palaver_build_info")), ({}, 0.0))[0])
    return Figures(
        model=build.get("model", ""),
        version=build.get("version", ""),
        is_ready=now.total("palaver_ready") > 0,
        load_phase=next((phase for phase, value in now.by("palaver_load_phase", "phase").items() if value), ""),
        load_progress=now.total("palaver_load_progress_ratio"),
        uptime=now.total("palaver_load_age_seconds") if "palaver_load_age_seconds" in now else None,
        interval=round(interval.seconds, 3),
        running=int(now.total("palaver_running_calls")),
        max_running=int(now.total("palaver_max_running_calls")),
        waiting=int(now.total("palaver_waiting_calls")),
        max_waiting=int(now.total("palaver_max_waiting_calls")),
        engine_running=int(now.total("vllm:num_requests_running")) if has_vllm else None,
        engine_waiting=int(now.total("vllm:num_requests_waiting")) if has_vllm else None,
        # vLLM counts while it works, palaver when a call has ended.
        output_tokens=interval.rate("vllm:generation_tokens_total")
        if has_vllm
        else interval.rate("palaver_tokens_total", type="output"),
        prompt_tokens=interval.rate("vllm:prompt_tokens_total")
        if has_vllm
        else interval.rate("palaver_tokens_total", type="prompt"),
        calls=interval.rate("palaver_calls_total"),
        cancelled=interval.rate("palaver_calls_total", code=CANCELLED),
        first_token=interval.quantiles("palaver_time_to_first_token_seconds"),
        between_tokens=interval.quantiles(
            "vllm:inter_token_latency_seconds" if has_vllm else "palaver_time_per_output_token_seconds"
        ),
        admission=interval.quantiles("palaver_admission_wait_seconds"),
        engine_queue=interval.quantiles("palaver_engine_queue_seconds"),
        whole_call=interval.quantiles("palaver_call_duration_seconds"),
        kv_cache=now.total("vllm:kv_cache_usage_perc") if has_vllm else None,
        prefix_hits=_part(interval, "vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"),
        preemptions=interval.rate("vllm:num_preemptions_total") if has_vllm else None,
        engine_silent=now.total("palaver_engine_silent_seconds"),
        engine_failures=int(now.total("palaver_engine_failures_total")),
        memory={name: int(size) for name, size in now.by("palaver_resident_memory_bytes", "process").items()},
        slow_readers=int(now.total("palaver_slow_readers_total")),
        audit_lost=int(now.total("palaver_audit_lost_records_total"))
        if "palaver_audit_lost_records_total" in now
        else None,
        failed=_failed(interval),
        clients=_served(interval, "palaver_client_calls_total", "client", "palaver_client_tokens_total"),
        tiers=_served(interval, "palaver_calls_total", "tier"),
        methods=_served(interval, "palaver_calls_total", "method"),
    )


def _part(interval: Interval, part: str, whole: str) -> float | None:
    asked = interval.increase(whole)
    return interval.increase(part) / asked if asked else None


def _failed(interval: Interval) -> list[Failed]:
    """By reason, the most frequent first: at the server, and of Envoy's questions those that were answered with no.

    Calls whose callers left have not failed; they have a figure of their own.
    """
    now: dict[str, float] = {}
    before: dict[str, float] = {}
    for found, look in ((now, interval.after), (before, interval.before)):
        for reason, count in _failures(look):
            found[reason] = found.get(reason, 0.0) + count
    rows = [
        Failed(reason, round(max(total - before.get(reason, 0.0), 0.0)), round(total)) for reason, total in now.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, -row.total, row.reason))


def _failures(look: Scrape) -> list[tuple[str, float]]:
    counts = [
        (reason, n) for reason, n in look.by("palaver_call_errors_total", "reason").items() if reason != CANCELLED
    ]
    for decisions in ("palaver_key_decisions_total", "palaver_limit_decisions_total"):
        counts += [(reason, count) for reason, count in look.by(decisions, "outcome").items() if reason != ALLOWED]
    return counts


def _served(interval: Interval, calls: str, label: str, tokens: str | None = None) -> list[Served]:
    """By name, who gets most first."""
    rows = []
    for name, rate in interval.rates_by(calls, label).items():
        fine = sum(interval.rate(calls, **{label: name, "code": code}) for code in NO_FAILURES)
        spent = None if tokens is None else interval.rate(tokens, **{label: name})
        rows.append(Served(name, rate, max(rate - fine, 0.0), spent))
    return sorted(rows, key=lambda row: (-(row.tokens or 0.0), -row.calls, row.name))
