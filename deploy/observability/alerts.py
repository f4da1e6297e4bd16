"""Every recording rule and every alert, with the series that make it fire and resolve. `generate.py` writes the files."""

from __future__ import annotations

from dataclasses import dataclass, field

CHATS = 'service=~"palaver.v1.(ChatService|OpenAIService)"'
SERVER_FAULTS = 'code=~"UNKNOWN|INTERNAL|UNAVAILABLE|DATA_LOSS"'
"""What counts against availability. A refusal for want of room is counted on its own: it is an answer, in time."""
AVAILABILITY = 0.999
FIRST_TOKEN_SECONDS = 0.5
FIRST_TOKEN_PART = 0.95
"""The objectives: so many calls without a fault of ours; so many first tokens within that time."""
WINDOWS = ("5m", "30m", "1h", "6h")


@dataclass(frozen=True, slots=True)
class Recording:
    """A series made of others."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Alert:
    """When to wake whom, why, and what to do."""

    name: str
    expression: str
    lasts: str
    """For how long it must be so."""
    severity: str
    """page or ticket."""
    summary: str
    runbook: str
    """What to look at first, and what to do."""
    fires: tuple[tuple[str, str], ...]
    """Series of a test, a value a minute, in promtool's notation."""
    fires_at: str
    resolves_at: str
    labels: dict[str, str] = field(default_factory=dict)
    """Those that the firing alert has in the test."""


def _http_status() -> str:
    """The seed counted HTTP statuses; gRPC codes are turned into those of the transcoder."""
    table = {
        "OK": "200",
        "INVALID_ARGUMENT": "400",
        "UNAUTHENTICATED": "401",
        "PERMISSION_DENIED": "403",
        "NOT_FOUND": "404",
        "RESOURCE_EXHAUSTED": "429",
        "CANCELLED": "499",
        "INTERNAL": "500",
        "UNKNOWN": "500",
        "UNIMPLEMENTED": "501",
        "UNAVAILABLE": "503",
        "DEADLINE_EXCEEDED": "504",
    }
    expression = f"sum by (instance, job, method, code) (palaver_calls_total{{{CHATS}}})"
    for code, status in table.items():
        expression = f'label_replace({expression}, "status_code", "{status}", "code", "{code}")'
    return f'sum by (instance, job, endpoint, status_code) (label_replace({expression}, "endpoint", "$1", "method", "(.*)"))'


RECORDINGS = (
    # Names that dashboards of the tutorial this project comes from use.
    Recording("glm_api_requests_total", _http_status()),
    Recording(
        "glm_api_response_seconds_bucket",
        f'sum by (instance, job, endpoint, le) (label_replace(palaver_call_duration_seconds_bucket{{{CHATS}}}, "endpoint", "$1", "method", "(.*)"))',
    ),
    Recording(
        "glm_api_response_seconds_count",
        f'sum by (instance, job, endpoint) (label_replace(palaver_call_duration_seconds_count{{{CHATS}}}, "endpoint", "$1", "method", "(.*)"))',
    ),
    Recording(
        "glm_api_response_seconds_sum",
        f'sum by (instance, job, endpoint) (label_replace(palaver_call_duration_seconds_sum{{{CHATS}}}, "endpoint", "$1", "method", "(.*)"))',
    ),
    Recording("glm_token_usage_total", "palaver_tokens_total"),
    Recording("glm_api_active_requests", "palaver_running_calls + palaver_waiting_calls"),
    Recording("process_memory_rss_bytes", "sum by (instance, job) (palaver_resident_memory_bytes)"),
    *(
        Recording(
            f"palaver:faults:ratio_rate{window}",
            f"(sum by (job) (rate(palaver_calls_total{{{CHATS}, {SERVER_FAULTS}}}[{window}])) or 0 * sum by (job) (rate(palaver_calls_total{{{CHATS}}}[{window}])))"
            f" / sum by (job) (rate(palaver_calls_total{{{CHATS}}}[{window}]))",
        )
        for window in WINDOWS
    ),
    *(
        Recording(
            f"palaver:slow_first_tokens:ratio_rate{window}",
            f'1 - sum by (job) (rate(palaver_time_to_first_token_seconds_bucket{{le="{FIRST_TOKEN_SECONDS}"}}[{window}]))'
            f" / sum by (job) (rate(palaver_time_to_first_token_seconds_count[{window}]))",
        )
        for window in WINDOWS
    ),
)


def _burn(kind: str, budget: float, factor: float, long: str, short: str) -> str:
    limit = f"{factor * budget:g}"
    return f"palaver:{kind}:ratio_rate{long} > {limit} and palaver:{kind}:ratio_rate{short} > {limit}"


def _calls(code: str, values: str) -> tuple[str, str]:
    return (f'palaver_calls_total{{job="p", service="palaver.v1.ChatService", method="Chat", code="{code}"}}', values)


def _first_tokens(le: str, values: str) -> tuple[str, str]:
    return (f'palaver_time_to_first_token_seconds_bucket{{job="p", le="{le}"}}', values)


_SLOW = (
    _first_tokens("0.5", "0+50x60 3000+100x400"),
    _first_tokens("1.0", "0+100x460"),
    _first_tokens("+Inf", "0+100x460"),
    ('palaver_time_to_first_token_seconds_count{job="p"}', "0+100x460"),
)
_FAULTY = (_calls("OK", "0+100x460"), _calls("INTERNAL", "0+20x60 1200+0x400"))
_P = {"job": "p"}

ALERTS = (
    Alert(
        "PalaverServerErrors",
        f"sum by (job) (rate(palaver_calls_total{{{CHATS}, {SERVER_FAULTS}}}[2m])) * 60 > 10",
        "0m",
        "page",
        "More than 10 calls a minute fail by a fault of the server.",
        "Panel *Failures by reason* of the overview names the reason. `GENERATION_FAILED` and `ENGINE_UNAVAILABLE`: the engine; read the server's log around the first one. `INTERNAL`: a bug; the log has its trace under the request id.",
        (_calls("INTERNAL", "0+20x20 400+0x60"),),
        "10m",
        "40m",
        _P,
    ),
    Alert(
        "PalaverFirstTokenSlow",
        "histogram_quantile(0.95, sum by (job, le) (rate(palaver_time_to_first_token_seconds_bucket[5m]))) > 0.5",
        "5m",
        "ticket",
        "5 % of first tokens come later than 500 ms.",
        "Dashboard *Latency*: waiting for a permit (raise --max-concurrent-requests, or add a replica), waiting in the engine (KV cache full: shorter prompts or more memory), or prefill (long prompts).",
        _SLOW,
        "30m",
        "2h",
        _P,
    ),
    Alert(
        "PalaverManyActiveCalls",
        "sum by (job, instance) (palaver_running_calls + palaver_waiting_calls) > 100",
        "1m",
        "ticket",
        "More than 100 calls are active.",
        "Is it load (dashboard *Overview*, calls by client) or are calls slow (dashboard *Latency*)? One client: give its key a limit.",
        (('palaver_running_calls{job="p"}', "64x20 1x40"), ('palaver_waiting_calls{job="p"}', "60x20 0x40")),
        "10m",
        "30m",
        _P,
    ),
    Alert(
        "PalaverMemoryHigh",
        "sum by (job, instance) (palaver_resident_memory_bytes) > 16 * 1024 ^ 3",
        "5m",
        "ticket",
        "Palaver's processes hold more than 16 GiB.",
        "The overview shows which process. engine: the model and its KV cache; set --gpu-memory-utilization, VLLM_CPU_KVCACHE_SPACE or --max-model-len. server: thousands of open streams; see --max-calls.",
        (('palaver_resident_memory_bytes{job="p", process="engine"}', "18e9x20 1e9x40"),),
        "10m",
        "30m",
        _P,
    ),
    Alert(
        "PalaverAvailabilityBurnsFast",
        _burn("faults", 1 - AVAILABILITY, 14.4, "1h", "5m"),
        "2m",
        "page",
        "At this rate of faults the month's budget (0.1 % of calls) is gone in two days.",
        "As PalaverServerErrors.",
        _FAULTY,
        "55m",
        "3h",
        _P,
    ),
    Alert(
        "PalaverAvailabilityBurnsSlowly",
        _burn("faults", 1 - AVAILABILITY, 6, "6h", "30m"),
        "15m",
        "ticket",
        "At this rate of faults the month's budget (0.1 % of calls) is gone in five days.",
        "As PalaverServerErrors.",
        _FAULTY,
        "55m",
        "7h",
        _P,
    ),
    Alert(
        "PalaverFirstTokenBudgetBurns",
        _burn("slow_first_tokens", 1 - FIRST_TOKEN_PART, 6, "1h", "5m"),
        "5m",
        "ticket",
        "So many first tokens are late that the budget (5 % over 500 ms) is gone in five days.",
        "As PalaverFirstTokenSlow.",
        _SLOW,
        "55m",
        "4h",
        _P,
    ),
    Alert(
        "PalaverDown",
        'up{job=~".*palaver.*"} == 0',
        "1m",
        "page",
        "The metrics port does not answer.",
        "Is the process there? `systemctl status`, or the container's state and last lines of its log. Exit code 1: the engine failed or could not start, and the log's last error says why.",
        (('up{job="palaver"}', "0x10 1x40"),),
        "5m",
        "20m",
        {"job": "palaver"},
    ),
    Alert(
        "PalaverModelNotLoaded",
        "palaver_ready == 0",
        "10m",
        "page",
        "Chats have not been answered for ten minutes.",
        "`palaver_load_phase` says where the load is. fetching: the network or the disk. loading_weights for long: a slow disk. After a crash loop: the log's first error of each start. `palaver doctor` looks at the machine.",
        (('palaver_ready{job="p"}', "0x30 1x40"),),
        "20m",
        "40m",
        _P,
    ),
    Alert(
        "PalaverEngineStalled",
        "palaver_engine_silent_seconds > 30",
        "0m",
        "page",
        "The engine holds calls and has made no step for 30 seconds.",
        "After --engine-stall seconds the server gives it up and exits for its supervisor. Until then: GPU errors in `dmesg` or `nvidia-smi`, swapping, a CPU that others have taken.",
        (('palaver_engine_silent_seconds{job="p"}', "0x5 40x10 0x40"),),
        "10m",
        "30m",
        _P,
    ),
    Alert(
        "PalaverEngineFailed",
        'palaver_engine_failures_total > 0 or changes(process_start_time_seconds{job=~".*palaver.*"}[30m]) > 2',
        "0m",
        "page",
        "The engine has ended by itself, or the server was started anew more than twice in half an hour.",
        "The log line `the engine failed` names the process and the signal. SIGKILL: the kernel's out-of-memory killer (`dmesg`).",
        (('palaver_engine_failures_total{job="p"}', "0x5 1x5 0x40"),),
        "8m",
        "30m",
        _P,
    ),
    Alert(
        "PalaverKvCacheFull",
        "vllm:kv_cache_usage_perc > 0.95",
        "5m",
        "ticket",
        "The KV cache is more than 95 % full: calls wait for each other's memory.",
        "Dashboard *Engine*: preemptions show that work is done twice. Lower --max-concurrent-requests or --max-model-len, or give the cache more memory.",
        (('vllm:kv_cache_usage_perc{job="p"}', "0.99x20 0.2x40"),),
        "10m",
        "30m",
        _P,
    ),
    Alert(
        "PalaverRefusesCalls",
        'sum by (job) (rate(palaver_call_errors_total{reason="SERVER_OVERLOADED"}[5m])) > 0.1',
        "5m",
        "ticket",
        "Calls are refused because the server is full.",
        "Room and queue are --max-concurrent-requests and --max-queued-requests. Full for long: add a replica.",
        (('palaver_call_errors_total{job="p", method="Chat", reason="SERVER_OVERLOADED"}', "0+60x20 1200+0x60"),),
        "15m",
        "50m",
        _P,
    ),
    Alert(
        "PalaverCertificateExpires",
        "min by (job, instance) (envoy_listener_ssl_certificate_expiration_unix_time_seconds) - time() < 14 * 86400",
        "1h",
        "ticket",
        "The edge's certificate expires within 14 days.",
        "Put a new certificate and key in place of --edge-cert and --edge-key (write beside them, then rename): the edge shows it within a second, without a restart.",
        (('envoy_listener_ssl_certificate_expiration_unix_time_seconds{job="p"}', "1000000x120 9000000x120"),),
        "100m",
        "200m",
        _P,
    ),
    Alert(
        "PalaverAuditGap",
        "increase(palaver_audit_lost_records_total[10m]) > 0",
        "0m",
        "page",
        "Calls were answered that stand in no audit record.",
        "The disk of --audit-dir is full or too slow; the log says `the audit log cannot be written`. The gap itself stands in the audit log with its size.",
        (('palaver_audit_lost_records_total{job="p"}', "0x5 7x60"),),
        "8m",
        "40m",
        _P,
    ),
    Alert(
        "PalaverAuditCut",
        "palaver_audit_cut > 0",
        "0m",
        "page",
        "Records at the end of the audit log were gone when the server began.",
        "`palaver audit verify` says which records, and will say so from now on. Somebody has cut them off, or the machine lost its power a moment after they were written: look into who had the folder of --audit-dir, and compare with a copy. The next start of the server ends the alert.",
        (('palaver_audit_cut{job="p", instance="i"}', "0x5 1x30 0x30"),),
        "8m",
        "50m",
        {"job": "p", "instance": "i"},
    ),
)
