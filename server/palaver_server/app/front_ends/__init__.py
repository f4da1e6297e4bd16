"""Several processes in front of one engine.

The first is the server that was started: it owns the engine, the edge, the metrics port and all that there is once. The
others are its children. Each takes calls by the same way; what they have in common is in `share.py`.
"""
