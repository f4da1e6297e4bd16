"""The figures of all processes of a server as one scrape: what a dashboard asks does not depend on their number.

What counts or adds up over time (counters, histograms, summaries) is the sum. So are calls and places. Any other gauge,
such as the load's progress or the KV cache, is that of the first process, to which the engine's statistics go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.registry import Collector

ADDITIVE = frozenset({"counter", "histogram", "summary"})
SUMMED_GAUGES = frozenset(
    {"palaver_running_calls", "palaver_waiting_calls", "palaver_max_running_calls", "palaver_max_waiting_calls"}
)

Key = tuple[str, tuple[tuple[str, str], ...]]


class ThisProcess(Collector):
    """Palaver's registry, then the one that libraries use by themselves (vLLM's figures, the process's)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registries: tuple[Collector, ...] = (registry, REGISTRY)

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        for registry in self._registries:
            yield from registry.collect()


class AllProcesses(Collector):
    """The sum of several processes.

    Args:
        own: what this one tells.
        others: asks the others, and gives of each what ``to_plain`` made there.
    """

    def __init__(self, own: Collector, others: Callable[[], Sequence[list[Any]]]) -> None:
        self._own = own
        self._others = others

    def collect(self) -> Iterator[Metric]:
        """Ask all, and add up."""
        summed: dict[str, _Sums] = {}
        for process in self._others():
            for name, documentation, kind, samples in process:
                summed.setdefault(name, _Sums(name, documentation, kind)).add(samples)
        for family in self._own.collect():
            if (sums := summed.pop(family.name, None)) is not None and _is_summed(family):
                sums.add_to(family)
            yield family
        for sums in summed.values():  # what this process has not met with yet
            if _is_summed(sums.family):
                sums.add_to(sums.family)
                yield sums.family


class _Sums:
    """One family's samples, added up over processes, in the order in which they came."""

    def __init__(self, name: str, documentation: str, kind: str) -> None:
        self.family = Metric(name, documentation, kind)
        self._values: dict[Key, float] = {}

    def add(self, samples: list[Any]) -> None:
        for name, labels, value in samples:
            key = _key(name, labels)
            self._values[key] = self._values.get(key, 0.0) + value

    def add_to(self, family: Metric) -> None:
        """Add each to the family's sample of the same labels; those that it lacks come after its own."""
        family.samples = [
            sample._replace(value=sample.value + self._values.pop(_key(sample.name, sample.labels), 0.0))
            for sample in family.samples
        ]
        for (name, labels), value in self._values.items():
            family.add_sample(name, dict(labels), value)


def to_plain(collector: Collector) -> list[Any]:
    """Figures as JSON holds them: families of a name, a text, a kind, and samples of a name, labels and a value."""
    return [
        [
            family.name,
            family.documentation,
            family.type,
            [[sample.name, sample.labels, sample.value] for sample in family.samples],
        ]
        for family in collector.collect()
        if _is_summed(family)
    ]


def _is_summed(family: Metric) -> bool:
    return family.type in ADDITIVE or family.name in SUMMED_GAUGES


def _key(name: str, labels: Mapping[str, str]) -> Key:
    return name, tuple(sorted(labels.items()))
