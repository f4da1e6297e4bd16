"""Whom the door let in, and whom the limits let pass: Envoy's questions and the server's own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

ALLOWED = "allowed"


class DecisionMetrics:
    """Counts decisions about keys and limits."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._keys = Counter(
            "palaver_key_decisions_total",
            "Checks of API keys that Envoy asked for, by what came of it: allowed, or the reason of the refusal.",
            ("outcome",),
            registry=registry,
        )
        self._limits = Counter(
            "palaver_limit_decisions_total",
            "Calls of clients with a limit that Envoy asked about: allowed, or the reason of the refusal.",
            ("tier", "outcome"),
            registry=registry,
        )
        self._keys.labels(ALLOWED)

    def key_checked(self, reason: str | None) -> None:
        """Count a key that was looked at; None for one that is good."""
        self._keys.labels(reason or ALLOWED).inc()

    def limit_checked(self, tier: str | None, reason: str | None) -> None:
        """Count a call that was charged; None where it may pass."""
        self._limits.labels(tier or "none", reason or ALLOWED).inc()
