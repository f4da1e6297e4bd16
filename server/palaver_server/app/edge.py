"""The edge of a server on this machine: its files, its process, its addresses."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from pathlib import Path

from palaver_server.app.edge_settings import EdgePlaces, development_certificate, edge_configuration
from palaver_server.edge.binary import EdgeError, find_envoy
from palaver_server.edge.certificate_watch import CertificateWatch, check_pair
from palaver_server.edge.configuration import Address
from palaver_server.edge.rendering import render
from palaver_server.edge.sidecar import Sidecar
from palaver_server.rpc.descriptor_set import descriptor_set
from palaver_server.settings import Settings


class Edge:
    """The sidecar of a server on this machine: its files, its process, its addresses."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._state = settings.state_dir.expanduser().absolute()
        self.places = EdgePlaces(
            configuration=self._state / "edge",
            run=self._state / "run",
            certificates=self._state / "tls",
            watched=self._state / "run" / "certificates",
            access_log=_access_log(settings, self._state / "run"),
        )
        self._sidecar: Sidecar | None = None
        self._watch: asyncio.Task[None] | None = None
        self.address = settings.edge_listen
        """``HOST:PORT`` of the TLS port, with the real port once it listens."""
        self.status_address = settings.edge_status_listen

    @property
    def ca(self) -> Path | None:
        """The authority that clients have to be told of; None where the operator has a certificate of their own."""
        return None if self._settings.edge_cert else development_certificate(self._settings).ca

    @property
    def pid(self) -> int | None:
        """Envoy's process id."""
        return None if self._sidecar is None else self._sidecar.pid

    def prepare(self) -> None:
        """Do all that can fail without Envoy: before the server binds, so that a slip costs nobody a second.

        Renders the configuration, makes a certificate where there is none, and the folder of the sockets.

        Raises:
            EdgeError, SettingsError: the edge cannot start; one sentence with what to do.
        """
        self._envoy = find_envoy(self._settings.edge_envoy)
        configuration = edge_configuration(self._settings, self.places)
        for folder in (self._state, self.places.run, configuration.certificates.watched):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._settings.edge_cert is None:
            development_certificate(self._settings).ensure([configuration.listen.host])
        for address in (configuration.listen, configuration.status_listen):
            _refuse_taken(address)
        try:
            check_pair(configuration.certificates)
        except (OSError, ssl.SSLError) as error:
            raise EdgeError(
                f"The edge's certificate {configuration.certificates.chain} cannot be used: {error}"
            ) from error
        self._certificates = configuration.certificates
        self._rendered = render(configuration, descriptor_set(), self.places.configuration)

    async def start(self) -> None:
        """Run Envoy, and return when its ports answer.

        Raises:
            EdgeError: it cannot start; one sentence with what to do.
        """
        self._sidecar = Sidecar(
            self._envoy, self._rendered, self.places.admin_socket, workers=self._settings.edge_workers
        )
        addresses = await self._sidecar.start()
        self.address, self.status_address = addresses["edge"], addresses["status"]
        self._watch = asyncio.create_task(CertificateWatch(self._certificates).run(), name="certificate watch")

    async def wait_failed(self) -> str:
        """Return why, when Envoy has ended by itself."""
        if self._sidecar is None:
            raise RuntimeError("the edge has not been started")
        return await self._sidecar.wait_failed()

    async def fail_health(self) -> None:
        """First step of a stop: load balancers look away."""
        if self._sidecar is not None:
            await self._sidecar.fail_health()

    async def drain(self) -> None:
        """Second step: no new connections."""
        if self._sidecar is not None:
            await self._sidecar.drain()

    async def stop(self) -> None:
        """Last step, once the server has ended its calls."""
        if self._watch is not None:
            self._watch.cancel()
        if self._sidecar is not None:
            await self._sidecar.stop()

    def kill(self) -> None:
        """End at once."""
        if self._sidecar is not None:
            self._sidecar.kill()


def _access_log(settings: Settings, run: Path) -> str:
    if settings.edge_access_log != "auto":
        return settings.edge_access_log
    is_console = settings.log_format == "console" or (settings.log_format == "auto" and sys.stderr.isatty())
    if not is_console:
        return "stdout"
    log = run / "access.log"
    log.unlink(missing_ok=True)
    return str(log)


def _refuse_taken(address: Address) -> None:
    """Say in a sentence what Envoy would say in a stack of them."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise EdgeError(f"The edge cannot listen on {address}: {error.strerror}.") from error
