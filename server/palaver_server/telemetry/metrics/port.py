"""The port that Prometheus asks: ``/metrics``, in its own format or in OpenMetrics, as it prefers."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

PATH = "/metrics"
REQUEST_SECONDS = 10.0
"""What one request may take to arrive and to be read."""
_ESCAPING = re.compile(r";\s*escaping=[\w-]+")
MAX_REQUESTS = 8
"""At once. Prometheus sends one at a time."""


class MetricsPort:
    """Answers in threads of its own, so that neither waits for the other: a scrape and the event loop.

    Args:
        figures: what is told.
    """

    def __init__(self, figures: Collector) -> None:
        self._app = _only_metrics(make_wsgi_app(figures))
        self._server: WSGIServer | None = None

    def start(self, listen: str) -> str:
        """Bind and answer; give the address with the real port.

        Raises:
            ValueError: ``listen`` is no ``IP:PORT``.
            OSError: it cannot be bound.
        """
        host, _, port = listen.rpartition(":")
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
        kind = _Server6 if address.version == 6 else _Server  # noqa: PLR2004  # IPv6
        self._server = server = kind((str(address), int(port)), _Handler)
        server.set_app(self._app)
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return f"{host}:{server.server_port}"

    def stop(self) -> None:
        """Close the port. Blocks for a moment."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


App = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]


def _only_metrics(app: App) -> App:
    def answer(environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environment["PATH_INFO"] != PATH:
            start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
            return [b"There is nothing but /metrics here.\n"]
        environment["HTTP_ACCEPT"] = _keeping_names(environment.get("HTTP_ACCEPT", ""))
        return app(environment, start_response)

    return answer


def _keeping_names(accept: str) -> str:
    """Have names written as they are.

    prometheus_client's OpenMetrics else writes ``vllm:x`` as ``vllm_x``, for which no dashboard asks. No name here has
    to be changed for any Prometheus.
    """
    kinds = (_ESCAPING.sub("", kind) for kind in accept.split(","))
    return ",".join(f"{kind};escaping=allow-utf-8" if "openmetrics" in kind else kind for kind in kinds)


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the standard library's
        """Scrapes are not worth a line."""

    def address_string(self) -> str:
        return str(self.client_address[0])


class _Server(ThreadingWSGIServer):
    def __init__(self, *arguments: Any) -> None:
        self._places = threading.BoundedSemaphore(MAX_REQUESTS)
        super().__init__(*arguments)

    def server_bind(self) -> None:
        # As the parent, without asking the name service what this machine is called.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that left in the middle is no news."""


class _Server6(_Server):
    address_family = socket.AF_INET6
