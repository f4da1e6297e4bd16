"""Metrics for Prometheus: palaver's own, beside those that vLLM registers by itself.

Names follow https://prometheus.io/docs/practices/naming/. Every label has a bounded set of values: methods of the
contract, codes and reasons of one table, tiers and clients that the operator named. No caller can add a series.
"""
