"""palaver's server: a typed gRPC chat service in front of an in-process vLLM engine.

Imports go one way: ``cli > app > (rpc | engine | edge | models) > core > telemetry, settings``.
"""

__version__ = "0.1.0"
