"""Series written by the event loop alone are scraped as prometheus_client's own would be."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from palaver_server.telemetry.metrics.series import Count, Spread

BOUNDS = (0.005, 0.25, 1, 60)
NAMES = st.sampled_from(["", "Chat", 'quo"ted', "Zoë"])
AMOUNTS = st.sampled_from([0.0, 0.0050000001, *BOUNDS]) | st.floats(min_value=0, max_value=1e9)
OPERATIONS = st.lists(st.tuples(AMOUNTS, NAMES, st.none() | st.sampled_from(["a1", "b2"])), max_size=20)


def scraped(registry: CollectorRegistry) -> list[str]:
    """In both formats; the moment of an exemplar is left out."""
    disable_created_metrics()  # as the server does
    openmetrics = re.sub(r"(# \{.*\} \S+) \S+", r"\1", generate_openmetrics(registry).decode())
    return [generate_latest(registry).decode(), openmetrics]


@given(OPERATIONS)
def test_they_say_what_prometheus_client_s_own_say(operations):
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    disable_created_metrics()
    count, labelled = Count(ours, "a_total", "One."), Count(ours, "b_total", "Some.", ("method",))
    spread, labelled_spread = Spread(ours, "c", "One.", BOUNDS), Spread(ours, "d", "Some.", BOUNDS, ("method",))
    counter, counters = (
        Counter("a_total", "One.", registry=theirs),
        Counter("b_total", "Some.", ["method"], registry=theirs),
    )
    histogram = Histogram("c", "One.", buckets=BOUNDS, registry=theirs)
    histograms = Histogram("d", "Some.", ["method"], buckets=BOUNDS, registry=theirs)
    assert scraped(ours) == scraped(theirs)
    for amount, method, trace_id in operations:
        exemplar = None if trace_id is None else {"trace_id": trace_id}
        count.add(amount, (), trace_id)
        counter.inc(amount, exemplar)
        labelled.add(amount, (method,), trace_id)
        counters.labels(method).inc(amount, exemplar)
        spread.observe(amount, (), trace_id)
        histogram.observe(amount, exemplar)
        labelled_spread.observe(amount, (method,), trace_id)
        histograms.labels(method).observe(amount, exemplar)
    assert scraped(ours) == scraped(theirs)


def test_a_name_is_taken_once():
    registry = CollectorRegistry()
    Count(registry, "a_total", "One.")
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        Count(registry, "a_total", "Another.")
