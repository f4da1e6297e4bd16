"""Answers to Envoy's questions, on a unix socket that the edge never routes to.

The messages are Envoy's (``envoy.service.auth.v3``, ``envoy.service.ratelimit.v3``), from the package xds-protos.
"""
