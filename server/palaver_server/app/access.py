"""Wires who may call and how often: the key file, the door, the limits, and Envoy's questions about them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import structlog

from palaver_server.core.identity.client import BY_NAME_ALONE
from palaver_server.core.identity.door import Door
from palaver_server.core.identity.key_file import KeyFile
from palaver_server.core.identity.registry import KeyRegistry
from palaver_server.core.identity.watch import KeyWatch
from palaver_server.core.limits.failed_attempts import FailedAttempts
from palaver_server.core.limits.request_limiter import RequestLimiter
from palaver_server.core.limits.shared_buckets import SharedBuckets
from palaver_server.rpc.entrance import Entrance
from palaver_server.rpc.rest import check_request
from palaver_server.rpc.transport import ServerLimits
from palaver_server.rpc.unix_socket import UnixAccess
from palaver_server.settings import Rate, Settings, SettingsError, Tier, config_file, load_settings
from palaver_server.telemetry.metrics.decisions import DecisionMetrics

log = structlog.get_logger("palaver.app")


class Access:
    """Everything between a listener and the services. Belongs to one event loop.

    Args:
        settings: where the keys are, the tiers, the sockets.
        limits: bounds of the internal socket.
        end_calls_of: ends the running calls of revoked keys, and says how many there were.
        decisions: counts what Envoy was answered.
        buckets: of the limits of keys, where other processes of this server draw from them too.
    """

    def __init__(
        self,
        settings: Settings,
        limits: ServerLimits,
        end_calls_of: Callable[[frozenset[str]], int],
        decisions: DecisionMetrics | None = None,
        buckets: SharedBuckets | None = None,
    ) -> None:
        self._decisions = decisions
        self._settings = settings
        self._limits = limits
        self._end_calls_of = end_calls_of
        self._registry = KeyRegistry()
        self._door = Door(
            self._registry,
            FailedAttempts(settings.max_failed_attempts),
            opened=BY_NAME_ALONE if settings.allow_explain else frozenset(),
        )
        self._limiter = RequestLimiter(shared=buckets)
        self._watch = KeyWatch(
            self._registry,
            KeyFile(settings.keys_path),
            tiers=rates(settings.tiers),
            settings_file=config_file(),
            load_tiers=lambda: rates(load_settings().tiers),
            on_revoked=self._on_revoked,
        )
        self._leaving = contextlib.AsyncExitStack()

    @property
    def entrance(self) -> Entrance:
        """The check of callers who come straight to the API port."""
        return Entrance(self._door, self._limiter)

    @property
    def edge_entrance(self) -> Entrance | None:
        """The check of callers who come through Envoy, which has asked about their limit; None without an edge."""
        return None if self._settings.edge_socket is None else Entrance(self._door, None, is_behind_edge=True)

    @property
    def unix_access(self) -> UnixAccess:
        """Who may connect to the edge's sockets."""
        group = self._settings.edge_group
        return UnixAccess() if group is None else UnixAccess(mode=0o660, group=group)

    async def start(self) -> None:
        """Read the keys, answer Envoy, and watch for changes.

        Raises:
            KeyFileError: the key file is damaged.
            ListenError: the internal socket cannot be made.
            SettingsError: Envoy's messages are not installed.
        """
        self._watch.load()
        if (socket := self._settings.internal_socket) is not None:
            # Some hundred Envoy messages, which a server without an edge neither has nor pays for.
            try:
                from palaver_server.rpc.internal.server import InternalServer  # noqa: PLC0415
            except ModuleNotFoundError as error:
                raise SettingsError("internal_socket needs Envoy's messages: pip install 'palaver[edge]'.") from error
            server = InternalServer(
                self._door,
                self._registry,
                self._limiter,
                limits=self._limits,
                check_http=check_request,
                decisions=self._decisions,
            )
            self._leaving.push_async_callback(server.stop)
            log.info("internal socket", address=await server.start(socket, self.unix_access))
        watching = asyncio.create_task(self._watch.run(), name="key watch")
        self._leaving.callback(watching.cancel)

    async def stop(self) -> None:
        """Let the sockets go, after those of the API: calls that end there may be asked about until then."""
        await self._leaving.aclose()

    def _on_revoked(self, key_ids: frozenset[str]) -> None:
        if self._settings.revoked_streams == "end" and (count := self._end_calls_of(key_ids)):
            log.info("calls of revoked keys ended", calls=count, key_ids=sorted(key_ids))


def rates(tiers: Mapping[str, Tier]) -> dict[str, Rate]:
    """Requests per minute by tier."""
    return {name: tier.requests_per_minute for name, tier in tiers.items()}
