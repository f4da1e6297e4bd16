"""Logs now, metrics and traces later. A leaf: imports nothing of palaver."""
