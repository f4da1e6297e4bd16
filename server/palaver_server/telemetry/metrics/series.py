"""Counters and histograms that are written by the event loop alone, many times a call.

prometheus_client's own are for any thread: they find a child by its labels under a lock, check each amount and take a
lock for each number. That was four fifths of what a call's figures cost. What a scrape reads is the same; it reads in a
thread of its own, a moment at which some of a call's numbers may be there and others not yet.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]
"""Values of the labels, in the order of their names."""


class Count(Collector):
    """A number for each combination of labels that has been met with; without labels, one.

    Args:
        name: the series', which ends with ``_total``.
        meaning: for whoever reads it.
        labels: names of the labels.
    """

    def __init__(self, registry: CollectorRegistry, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self._name, self._meaning, self._labels = name, meaning, tuple(labels)
        self._numbers: dict[Labels, float] = {} if labels else {(): 0.0}
        self._exemplars: dict[Labels, Exemplar] = {}
        registry.register(self)

    def add(self, amount: float, labels: Labels = (), trace_id: str | None = None) -> None:
        """Add.

        Args:
            amount: from 0.
            labels: of the number.
            trace_id: a trace that stands for what is counted.
        """
        self._numbers[labels] = self._numbers.get(labels, 0.0) + amount
        if trace_id is not None:
            self._exemplars[labels] = _exemplar(trace_id, amount)

    def describe(self) -> list[Metric]:
        """The family without its samples."""
        return [Metric(self._name.removesuffix("_total"), self._meaning, "counter")]

    def collect(self) -> Iterator[Metric]:
        """The family."""
        (family,) = self.describe()
        for labels, number in self._numbers.copy().items():
            named = dict(zip(self._labels, labels, strict=True))
            family.add_sample(self._name, named, number, exemplar=self._exemplars.get(labels))
        yield family


class Spread(Collector):
    """A histogram for each combination of labels that has been met with; without labels, one.

    Args:
        name: the series'.
        meaning: for whoever reads it.
        bounds: of the buckets, upwards; one for all that is above them is added.
        labels: names of the labels.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        meaning: str,
        bounds: Sequence[float],
        labels: Sequence[str] = (),
    ) -> None:
        self._name, self._meaning, self._labels = name, meaning, tuple(labels)
        self._bounds = (*bounds, inf)
        self._bound_texts = tuple(str(floatToGoString(bound)) for bound in self._bounds)  # type: ignore[no-untyped-call]
        self._seen: dict[Labels, _Seen] = {} if labels else {(): _Seen(len(self._bounds))}
        registry.register(self)

    def observe(self, amount: float, labels: Labels = (), trace_id: str | None = None) -> None:
        """Count an amount in its bucket.

        Args:
            amount: what was seen.
            labels: of the histogram.
            trace_id: a trace in which it was seen.
        """
        seen = self._seen.get(labels)
        if seen is None:
            seen = self._seen[labels] = _Seen(len(self._bounds))
        place = bisect_left(self._bounds, amount)  # a bound belongs to what is below it
        seen.counts[place] += 1
        seen.total += amount
        if trace_id is not None:
            seen.exemplars[place] = _exemplar(trace_id, amount)

    def describe(self) -> list[Metric]:
        """The family without its samples."""
        return [Metric(self._name, self._meaning, "histogram")]

    def collect(self) -> Iterator[Metric]:
        """The family."""
        (family,) = self.describe()
        for labels, seen in self._seen.copy().items():
            named = dict(zip(self._labels, labels, strict=True))
            count = 0.0
            for place, (bound, counted) in enumerate(zip(self._bound_texts, seen.counts.copy(), strict=True)):
                count += counted
                bucket = {**named, "le": bound}
                family.add_sample(f"{self._name}_bucket", bucket, count, exemplar=seen.exemplars.get(place))
            family.add_sample(f"{self._name}_count", named, count)
            family.add_sample(f"{self._name}_sum", named, seen.total)
        yield family


class _Seen:
    """What one histogram has counted."""

    __slots__ = ("counts", "exemplars", "total")

    def __init__(self, bucket_count: int) -> None:
        self.counts = [0] * bucket_count
        self.total = 0.0
        self.exemplars: dict[int, Exemplar] = {}


def _exemplar(trace_id: str, amount: float) -> Exemplar:
    return Exemplar({"trace_id": trace_id}, amount, time.time())
