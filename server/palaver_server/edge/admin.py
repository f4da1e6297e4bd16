"""Envoy's admin interface, over its unix socket."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 5.0


class AdminError(Exception):
    """The admin interface gives no answer, or says no."""


class Admin:
    """Asks one Envoy. Each question is a connection of its own, in a thread: there are a handful in Envoy's life."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def is_live(self) -> bool:
        """The listeners work and their certificates are loaded."""
        try:
            state = (await self._ask("GET", "/ready")).strip()
        except AdminError:
            return False
        return state == b"LIVE"

    async def addresses(self) -> dict[str, str]:
        """Where each listener really listens, by its name."""
        answer: Any = json.loads(await self._ask("GET", "/listeners?format=json"))
        found = {}
        for listener in answer.get("listener_statuses", []):
            address = listener["local_address"]["socket_address"]
            host = f"[{address['address']}]" if ":" in address["address"] else address["address"]
            found[listener["name"]] = f"{host}:{address['port_value']}"
        return found

    async def fail_health(self) -> None:
        """Let ``/ready`` say 503 from now on."""
        await self._ask("POST", "/healthcheck/fail")

    async def drain(self) -> None:
        """Ask callers to open no more calls on their connections, and close the listeners after the drain time."""
        await self._ask("POST", "/drain_listeners?graceful&skip_exit")

    async def active_call_count(self) -> int:
        """Calls through the edge that have not ended yet."""
        answer: Any = json.loads(await self._ask("GET", "/stats?format=json&filter=^http.edge.downstream_rq_active$"))
        return sum(int(stat["value"]) for stat in answer["stats"] if "value" in stat)

    async def _ask(self, method: str, path: str) -> bytes:
        return await asyncio.to_thread(self._ask_now, method, path)

    def _ask_now(self, method: str, path: str) -> bytes:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise AdminError(f"Envoy's admin socket gives no answer to {path}: {error}") from error
        finally:
            connection.close()
        if answer.status not in (http.HTTPStatus.OK, http.HTTPStatus.SERVICE_UNAVAILABLE):
            raise AdminError(f"Envoy's admin socket answers {path} with {answer.status}")
        return body


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("envoy", timeout=TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))
