"""What an operator may change of a running server, over a unix socket that is the owner's alone.

No part of the contract: `palaver log-level` and the server it speaks to are of one version, on one machine.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from palaver_server.rpc.listener import bind
from palaver_server.rpc.transport import ServerLimits, new_server

SERVICE = "palaver.internal.Control"
SET_LOG_LEVEL = "SetLogLevel"
STOP_SECONDS = 0.5

SetLevel = Callable[[str], str]
"""Sets the level, unless the name is empty, and gives the one in force; ``ValueError`` where there is none of it."""


class ControlServer:
    """Answers on the control socket. Belongs to one event loop."""

    def __init__(self, set_log_level: SetLevel, *, limits: ServerLimits) -> None:
        self._set_log_level = set_log_level
        self._server = new_server(limits)
        handlers = {
            SET_LOG_LEVEL: grpc.unary_unary_rpc_method_handler(
                self._answer, request_deserializer=StringValue.FromString, response_serializer=_to_bytes
            )
        }
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def start(self, socket: Path) -> str:
        """Bind with mode 0600; give the address.

        Raises:
            ListenError: the socket cannot be made.
        """
        address = bind(self._server, f"unix:{socket}")
        await self._server.start()
        return address

    async def stop(self) -> None:
        """Close the socket."""
        await self._server.stop(STOP_SECONDS)

    async def _answer(self, request: StringValue, context: grpc.aio.ServicerContext[Any, Any]) -> StringValue:
        try:
            return StringValue(value=self._set_log_level(request.value))
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise


def _to_bytes(message: StringValue) -> bytes:
    return message.SerializeToString()
