"""What a port of metrics tells, as numbers that can be asked for."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


class Scraped(dict[tuple[str, tuple[tuple[str, str], ...]], float]):
    """Values of samples by name and labels."""

    def of(self, name: str, **labels: str) -> float:
        """The sum over all series of a name that have these labels."""
        return sum(value for (n, found), value in self.items() if n == name and labels.items() <= dict(found).items())

    def by(self, name: str, *labels: str, **where: str) -> dict[tuple[str, ...], int]:
        """The sums for each combination of some labels, zeros left out."""
        sums: dict[tuple[str, ...], float] = {}
        for (n, found), value in self.items():
            if n == name and where.items() <= dict(found).items():
                key = tuple(dict(found)[label] for label in labels)
                sums[key] = sums.get(key, 0) + value
        return {key: int(value) for key, value in sums.items() if value}


def scrape_text(address: str, accept: str = "text/plain") -> str:
    """Ask ``HOST:PORT`` once."""
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def parse(text: str) -> Scraped:
    """Read the text format. Every counter has a name that ends with `_total` then, as OpenMetrics wants it."""
    families = text_string_to_metric_families(text)
    return Scraped({(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples})


def scrape(address: str) -> Scraped:
    return parse(scrape_text(address))
