"""Every dashboard: its panels, their units and their queries. `generate.py` writes the files."""

from __future__ import annotations

from dataclasses import dataclass

CHATS = 'service=~"palaver.v1.(ChatService|OpenAIService)"'
EDGE = 'envoy_http_conn_manager_prefix="edge"'
API = 'envoy_cluster_name="api"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture."""

    title: str
    unit: str
    """Grafana's name of the unit: s, reqps, short, percentunit, bytes."""
    queries: tuple[tuple[str, str], ...]
    """PromQL, and the legend in Grafana's notation."""
    meaning: str = ""


def _quantiles(metric: str, selector: str = "") -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{selector}[$__rate_interval])))", f"p{q * 100:g}")
        for q in (0.5, 0.95, 0.99)
    )


def _rate(metric: str, by: str, legend: str = "") -> tuple[tuple[str, str], ...]:
    return ((f"sum by ({by}) (rate({metric}[$__rate_interval]))", legend or f"{{{{{by}}}}}"),)


DASHBOARDS: dict[str, tuple[Panel, ...]] = {
    "overview": (
        Panel("Calls", "reqps", _rate(f"palaver_calls_total{{{CHATS}}}", "code"), "Chats by gRPC code, as they end."),
        Panel("Failures by reason", "reqps", _rate("palaver_call_errors_total", "reason")),
        Panel("First token", "s", _quantiles("palaver_time_to_first_token_seconds"), "The objective is 0.5 s at p95."),
        Panel("Tokens", "short", _rate("palaver_tokens_total", "type"), "A second, counted when their call ends."),
        Panel(
            "Active calls",
            "short",
            (("sum(palaver_running_calls)", "running"), ("sum(palaver_waiting_calls)", "waiting")),
        ),
        Panel("Ready", "short", (("palaver_ready", "{{instance}}"),)),
        Panel("Memory", "bytes", (("sum by (process) (palaver_resident_memory_bytes)", "{{process}}"),)),
        Panel("Calls by client", "reqps", _rate("palaver_client_calls_total", "client")),
    ),
    "latency": (
        Panel("First token", "s", _quantiles("palaver_time_to_first_token_seconds")),
        Panel("Time per output token", "s", _quantiles("palaver_time_per_output_token_seconds")),
        Panel("Wait for a permit", "s", _quantiles("palaver_admission_wait_seconds")),
        Panel("Wait in the engine", "s", _quantiles("palaver_engine_queue_seconds")),
        Panel("Whole calls", "s", _quantiles("palaver_call_duration_seconds", f"{{{CHATS}}}")),
        Panel(
            "Tokens in one piece of a stream",
            "short",
            (
                (
                    (
                        "sum(rate(palaver_streamed_tokens_total[$__rate_interval])) / "
                        "sum(rate(palaver_stream_deltas_total[$__rate_interval]))"
                    ),
                    "tokens",
                ),
            ),
        ),
        Panel("Slow readers", "reqps", (("sum(rate(palaver_slow_readers_total[$__rate_interval]))", "streams"),)),
    ),
    "engine": (
        Panel("KV cache", "percentunit", (("vllm:kv_cache_usage_perc", "engine {{engine}}"),)),
        Panel(
            "Requests in the engine",
            "short",
            (("sum(vllm:num_requests_running)", "running"), ("sum(vllm:num_requests_waiting)", "waiting")),
        ),
        Panel(
            "Prefix cache hits",
            "percentunit",
            (
                (
                    (
                        "sum(rate(vllm:prefix_cache_hits_total[$__rate_interval])) / "
                        "sum(rate(vllm:prefix_cache_queries_total[$__rate_interval]))"
                    ),
                    "hits",
                ),
            ),
        ),
        Panel(
            "Tokens of the engine",
            "short",
            (
                ("sum(rate(vllm:prompt_tokens_total[$__rate_interval]))", "prompt"),
                ("sum(rate(vllm:generation_tokens_total[$__rate_interval]))", "output"),
            ),
        ),
        Panel("Preemptions", "short", (("sum(rate(vllm:num_preemptions_total[$__rate_interval]))", "a second"),)),
        Panel("Silence", "s", (("palaver_engine_silent_seconds", "{{instance}}"),), "Of an engine that holds calls."),
        Panel("Load", "percentunit", (("palaver_load_progress_ratio", "{{instance}}"),)),
    ),
    "keys": (
        Panel("Keys that Envoy asked about", "reqps", _rate("palaver_key_decisions_total", "outcome")),
        Panel("Limits that Envoy asked about", "reqps", _rate("palaver_limit_decisions_total", "outcome")),
        Panel("Calls by tier", "reqps", _rate("palaver_calls_total", "tier")),
        Panel("Calls by client", "reqps", _rate("palaver_client_calls_total", "client")),
        Panel("Tokens by client", "short", _rate("palaver_client_tokens_total", "client")),
    ),
    "edge": (
        Panel(
            "Answers by status",
            "reqps",
            (
                (
                    f"sum by (envoy_response_code_class) (rate(envoy_http_downstream_rq_xx{{{EDGE}}}[$__rate_interval]))",
                    "{{envoy_response_code_class}}xx",
                ),
            ),
        ),
        Panel(
            "Calls by method",
            "reqps",
            _rate(f"envoy_cluster_grpc_total{{{API}}}", "envoy_grpc_bridge_method"),
            "Of every protocol, as they end.",
        ),
        Panel("Requests at once", "short", ((f"envoy_http_downstream_rq_active{{{EDGE}}}", "requests"),)),
        Panel("Connections", "short", ((f"envoy_http_downstream_cx_active{{{EDGE}}}", "connections"),)),
        Panel(
            "Time of the server's answers",
            "ms",
            (
                (
                    f"histogram_quantile(0.95, sum by (le) (rate(envoy_cluster_upstream_rq_time_bucket{{{API}}}[$__rate_interval])))",
                    "p95",
                ),
            ),
        ),
        Panel("Healthy servers", "short", ((f"envoy_cluster_membership_healthy{{{API}}}", "servers"),)),
        Panel(
            "Certificate",
            "s",
            (("envoy_listener_ssl_certificate_expiration_unix_time_seconds - time()", "left"),),
        ),
        Panel("Memory", "bytes", (("envoy_server_memory_allocated", "allocated"),)),
    ),
}
