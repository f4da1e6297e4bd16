"""Opens the control socket, for `palaver log-level`."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from palaver_server.rpc.control import ControlServer
from palaver_server.rpc.listener import ListenError
from palaver_server.rpc.transport import ServerLimits
from palaver_server.settings import Settings
from palaver_server.telemetry.log import level, set_level

log = structlog.get_logger("palaver.app")


class Control:
    """The control socket of one server. Belongs to one event loop.

    Args:
        settings: where it is.
        limits: its bounds.
        pass_level_on: tells other processes of the server a changed level.
    """

    def __init__(self, settings: Settings, limits: ServerLimits, pass_level_on: Callable[[str], None]) -> None:
        self._settings = settings
        self._limits = limits
        self._pass_level_on = pass_level_on
        self._server: ControlServer | None = None

    async def start(self) -> None:
        """Open the socket, if there shall be one.

        Raises:
            ListenError: the settings name one that cannot be made. The default one does without.
        """
        path = self._settings.control_path
        if path is None:
            return
        server = ControlServer(self._change_level, limits=self._limits)
        try:
            if self._settings.control_socket is None:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            log.info("control socket", address=await server.start(path))
        except (ListenError, OSError) as error:
            if self._settings.control_socket is not None:
                raise
            log.warning("no control socket: choose one with --control-socket", cause=str(error))
            return
        self._server = server

    async def stop(self) -> None:
        """Close it."""
        if self._server is not None:
            await self._server.stop()

    def _change_level(self, name: str) -> str:
        before, now = level(), set_level(name)
        if now != before:
            log.warning("log level changed", before=before, now=now)
            self._pass_level_on(now)
        return now
