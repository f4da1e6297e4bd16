"""Tells Envoy of a new certificate, however it came into its place.

Envoy itself notices a rename in one folder and nothing else: neither a file that is written over nor a link that is
swapped elsewhere, as certbot and Kubernetes do. And in the moment in which one of two files is new it would try a pair
that does not fit. So the files are looked at once a second, and Envoy is told when the pair is whole.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path

import structlog

from palaver_server.edge.configuration import Certificates

log = structlog.get_logger("palaver.edge")

POLL_SECONDS = 1.0
_MARKER = "changed"


class CertificateWatch:
    """Looks after the files of one edge until its task is cancelled.

    Args:
        certificates: the files; ``watched`` is a folder of palaver's own, in which a file is renamed to tell Envoy.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        self._known = self._state()

    async def run(self) -> None:
        """Look, and tell, for ever."""
        problem = ""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            state = self._state()
            if state == self._known:
                continue
            try:
                await asyncio.to_thread(check_pair, self._certificates)
            except (OSError, ssl.SSLError) as error:
                if problem != str(error):  # the other file may follow; the edge goes on with what it has
                    problem = str(error)
                    log.warning("the new certificate does not fit its key yet", cause=problem)
                continue
            self._tell()
            self._known, problem = state, ""
            log.info("certificate changed", chain=str(self._certificates.chain))

    def _tell(self) -> None:
        draft = self._certificates.watched / f".{_MARKER}"
        draft.touch()
        draft.rename(self._certificates.watched / _MARKER)

    def _state(self) -> tuple[object, ...]:
        paths = (self._certificates.chain, self._certificates.key, self._certificates.client_ca)
        return tuple(_stamp(path) for path in paths if path is not None)


def check_pair(certificates: Certificates) -> None:
    """See that key and certificate belong together, and that the client authorities can be read.

    Raises:
        OSError: a file cannot be read.
        ssl.SSLError: the pair does not fit, or a file is no PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # An empty password: a key that asks for one is refused instead of asking at the terminal.
    context.load_cert_chain(certificates.chain, certificates.key, password="")
    if certificates.client_ca is not None:
        context.load_verify_locations(certificates.client_ca)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # one call; follows links, which is the point
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
