"""Methods are found by their names when they are called, and not registered with grpcio beforehand.

The generated functions do both. For each registered method grpcio's server waits for the next call by itself, and at
every call it begins all these waits anew (``_server_main_loop`` in ``server.pyx.pxi``): with palaver's sixteen methods
that was more work than finding one of them. Calls of methods that are not registered share one wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import grpc


class _ByName:
    """Takes services for a server."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Have the server ask these for the method of a call."""
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, object]) -> None:
        """Nothing: they are among the others."""


def by_name(server: grpc.aio.Server) -> grpc.aio.Server:
    """What generated functions add a service to, so that the server finds its methods by name."""
    return cast("grpc.aio.Server", _ByName(server))
