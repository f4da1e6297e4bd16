"""One look at a server's metrics port, and what lies between two."""

from __future__ import annotations

import math
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_SECONDS = 5.0
MAX_BYTES = 16 * 1024**2
"""A server with all of vLLM's figures tells some 200 KB."""

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks the server itself, whatever proxy the environment names."""

Labels = Mapping[str, str]


class ScrapeError(Exception):
    """The port gives no figures. The message is one sentence."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """Every figure at one moment, by name."""

    at: float
    """Of ``time.monotonic``."""
    samples: Mapping[str, list[tuple[Labels, float]]]

    def __contains__(self, name: str) -> bool:
        return name in self.samples

    def each(self, name: str, **labels: str) -> Iterator[tuple[Labels, float]]:
        """The samples of a name that have these labels."""
        wanted = labels.items()
        return ((found, value) for found, value in self.samples.get(name, ()) if wanted <= found.items())

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 where there is none."""
        return sum(value for _, value in self.each(name, **labels))

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Their sums by one label."""
        sums: dict[str, float] = defaultdict(float)
        for found, value in self.each(name, **labels):
            sums[found.get(label, "")] += value
        return dict(sums)


def scrape(url: str) -> Scrape:
    """Ask once. Blocks.

    Raises:
        ScrapeError: nobody answers, or what comes is no text of Prometheus.
    """
    try:
        with _OPENER.open(url, timeout=TIMEOUT_SECONDS) as answer:
            text = answer.read(MAX_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise ScrapeError(f"{url} answers {error.code}; palaver's figures are at /metrics.") from error
    except (OSError, ValueError) as error:
        raise ScrapeError(f"{url} does not answer: {getattr(error, 'reason', error)}.") from error
    if len(text) > MAX_BYTES:
        raise ScrapeError(f"{url} tells more than {MAX_BYTES} bytes.")
    samples: dict[str, list[tuple[Labels, float]]] = defaultdict(list)
    try:
        for family in text_string_to_metric_families(text.decode()):
            for sample in family.samples:
                samples[sample.name].append((sample.labels, sample.value))
    except (ValueError, KeyError, IndexError) as error:
        raise ScrapeError(f"{url} tells something that is no text of Prometheus.") from error
    return Scrape(time.monotonic(), dict(samples))


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of a histogram, in seconds."""

    p50: float | None
    p95: float | None
    count: int
    """How many values there were; of none, nothing can be said."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What has happened between two looks."""

    before: Scrape
    after: Scrape

    @property
    def seconds(self) -> float:
        """How long it was."""
        return max(self.after.at - self.before.at, 1e-3)

    def increase(self, name: str, **labels: str) -> float:
        """How much a counter has grown. One that went back began anew, with its server."""
        grown = self.after.total(name, **labels) - self.before.total(name, **labels)
        return grown if grown >= 0 else self.after.total(name, **labels)

    def rate(self, name: str, **labels: str) -> float:
        """The same for each second."""
        return self.increase(name, **labels) / self.seconds

    def rates_by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """Rates by one label, of every value that it has had."""
        return {value: self.rate(name, **{**labels, label: value}) for value in self.after.by(name, label, **labels)}

    def quantiles(self, histogram: str) -> Quantiles:
        """What lies in the middle of the new values of a histogram, and near their upper end."""
        bounds = {float(le): le for le in self.after.by(f"{histogram}_bucket", "le")}
        buckets = [(bound, self.increase(f"{histogram}_bucket", le=bounds[bound])) for bound in sorted(bounds)]
        count = buckets[-1][1] if buckets else 0.0
        return Quantiles(_quantile(0.5, buckets), _quantile(0.95, buckets), round(count))


def _quantile(q: float, buckets: list[tuple[float, float]]) -> float | None:
    """As ``histogram_quantile`` of Prometheus has it: evenly spread within a bucket, and never above the last bound."""
    if not buckets or buckets[-1][1] <= 0:
        return None
    rank = q * buckets[-1][1]
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound) or count == below:
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
