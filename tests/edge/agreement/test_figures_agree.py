"""Calls with every fate, by every protocol: whoever counts the same thing has counted the same number.

What counts what, and where two places differ by their nature, stands in ``deploy/observability/README.md``.
"""

from __future__ import annotations

from collections import Counter

import grpc
import pytest

from tests.edge.agreement.calls import Seen
from tests.edge.agreement.mix import FLAGS
from tests.edge.agreement.told import GONE, KEYS_REFUSED, Told, tally, tell

API = "palaver.v1."


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(1, id="a hundred calls"),
        pytest.param(9, id="a thousand calls", marks=[pytest.mark.thorough, pytest.mark.timeout(600)]),
    ],
)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Told:
    return tell(request.param, tmp_path_factory.mktemp("s"), *FLAGS)


def test_every_fate_was_met_by_every_way(told):
    fates = {(seen.protocol, seen.is_streamed, seen.reason) for seen in told.seen}
    ways = {(seen.protocol, seen.is_streamed) for seen in told.seen}
    assert len(ways) == 10
    for reason in (None, "INVALID_FIELD", "MODEL_NOT_FOUND", "GENERATION_FAILED", "SERVER_OVERLOADED", "CANCELLED"):
        assert {way for way in ways if (*way, reason) not in fates} == set(), reason
    assert {"KEY_MISSING", "KEY_UNKNOWN", "RATE_LIMITED", "DEADLINE_EXCEEDED", "PATH_NOT_FOUND"} <= {
        f[2] for f in fates
    }


def test_the_servers_figures_are_the_callers(told):
    calls = told.server.by("palaver_calls_total", "service", "method", "code")
    assert {key: n for key, n in calls.items() if key[0].startswith(API)} == tally(
        (*seen.rpc, told.code(seen)) for seen in told.served
    )
    durations = told.server.by("palaver_call_duration_seconds_count", "service", "method")
    assert {key: n for key, n in durations.items() if key[0].startswith(API)} == tally(s.rpc for s in told.served)


def test_every_failure_is_counted_with_the_reason_that_its_caller_was_given(told):
    assert told.server.by("palaver_call_errors_total", "method", "reason") == tally(
        (seen.rpc[1], told.code(seen) if told.code(seen) in GONE else str(seen.reason))
        for seen in told.served
        if seen.code is not grpc.StatusCode.OK
    )


def test_the_servers_log_and_the_audit_log_have_each_call_once_with_its_code(told):
    served = {seen.request_id: (seen.rpc[1], told.code(seen)) for seen in told.served}
    assert {i: (line["method"].rpartition("/")[2], line["code"]) for i, line in told.lines.items()} == served
    assert {i: (record["method"], record["code"]) for i, record in told.audit.items()} == served
    assert told.audit_count == len(served) == told.server.of("palaver_audit_records_total")
    assert told.server.of("palaver_audit_lost_records_total") == 0
    assert {i: line.get("reason") for i, line in told.lines.items()} == {
        i: record["reason"] for i, record in told.audit.items()
    }


def test_envoys_log_has_each_call_through_it_once_with_its_statuses(told):
    assert told.edge_lines.keys() == {seen.request_id for seen in told.by_edge}
    for seen in told.by_edge:
        line = told.edge_lines[seen.request_id]
        assert told.left(seen) == (seen.code is grpc.StatusCode.CANCELLED) or seen.has_deadline, line
        if told.left(seen) or seen.has_deadline:
            continue
        assert line["status"] == (seen.http_status or 200), line
        if line["code"] is not None:
            assert line["code"] == seen.code.value[0], line
        else:  # an answer of Envoy's own to a caller that knows HTTP statuses alone
            assert seen in told.by_edge
            assert seen not in told.served


def test_envoys_figures_are_the_callers(told):
    edge = {"envoy_http_conn_manager_prefix": "edge"}
    assert told.edge.of("envoy_http_downstream_rq_total", **edge) == len(told.by_edge)
    classes = told.edge.by("envoy_http_downstream_rq_xx_total", "envoy_response_code_class", **edge)
    statuses = [line["status"] for line in told.edge_lines.values()]
    assert classes == tally((str(status // 100),) for status in statuses if status)
    assert statuses.count(0) == sum(not seen.is_streamed and told.left(seen) for seen in told.by_edge)
    reached = [seen for seen in told.by_edge if seen in told.served]
    assert told.edge["envoy_cluster_upstream_rq_total", (("envoy_cluster_name", "api"),)] == len(reached)


def test_envoys_figures_by_grpc_method_and_code_are_the_callers(told):
    reached = [seen for seen in told.by_edge if seen in told.served]
    labels = ("envoy_grpc_bridge_service", "envoy_grpc_bridge_method")
    ended = [seen for seen in reached if not told.left(seen) and not seen.has_deadline]
    for code in {seen.code for seen in ended}:
        assert told.edge.by(f"envoy_cluster_grpc_{code.value[0]}_total", *labels) == tally(
            seen.rpc for seen in ended if seen.code is code
        ), code
    # Where Envoy's clock ended a call, or the server's, it counts as code 4.
    late = Counter(told.edge.by("envoy_cluster_grpc_4_total", *labels))
    assert late.total() <= sum(seen.has_deadline for seen in reached)
    assert told.edge.by("envoy_cluster_grpc_total", *labels) == Counter(seen.rpc for seen in ended) + late
    # Those that left have sent their request.
    assert told.edge.by("envoy_cluster_grpc_request_message_count_total", *labels) == tally(
        seen.rpc for seen in reached
    )


def test_decisions_about_keys_and_limits_are_the_callers_and_envoys(told):
    asked = [seen for seen in told.by_edge if seen.reason != "PATH_NOT_FOUND"]
    refused = [seen for seen in asked if seen.reason in KEYS_REFUSED]
    outcomes = Counter(("allowed" if seen not in refused else str(seen.reason),) for seen in asked)
    assert told.server.by("palaver_key_decisions_total", "outcome") == dict(outcomes)
    assert told.edge.of("envoy_http_ext_authz_denied_total") == len(refused)
    assert told.edge.of("envoy_http_ext_authz_ok_total") == len(asked) - len(refused)
    limited = [seen for seen in asked if _client(told, seen) == "bob"]
    assert told.server.by("palaver_limit_decisions_total", "outcome") == tally(
        ("RATE_LIMITED" if seen.reason == "RATE_LIMITED" else "allowed",) for seen in limited
    )


def test_tokens_are_those_that_the_callers_were_told(told):
    whole = [seen for seen in told.served if seen.code is grpc.StatusCode.OK]
    for seen in whole:
        record = told.audit[seen.request_id]
        assert (record["prompt_tokens"], record["output_tokens"]) == (seen.prompt_tokens, seen.output_tokens)
    for kind in ("prompt", "output"):
        by_record = [record.get(f"{kind}_tokens", 0) for record in told.audit.values()]
        assert told.server.of("palaver_tokens_total", type=kind) == sum(by_record)
        assert told.server.of("palaver_client_tokens_total", type=kind) == sum(by_record)
        assert sum(by_record) >= sum(getattr(seen, f"{kind}_tokens") for seen in whole)
    streamed = [told.audit[seen.request_id].get("output_tokens", 0) for seen in told.served if seen.is_streamed]
    assert told.server.of("palaver_streamed_tokens_total") == sum(streamed)


def test_calls_by_client_are_all_calls(told):
    by_client = told.server.by("palaver_client_calls_total", "client", "code")
    health = told.server.of("palaver_calls_total", service="grpc.health.v1.Health")
    counted = Counter((record["client"], record["code"]) for record in told.audit.values())
    assert by_client == dict(counted + Counter({("anonymous", "OK"): int(health)}))


def _client(told: Told, seen: Seen) -> str:
    return str(told.edge_lines[seen.request_id]["client"])
