"""Tells systemd how the service does, where systemd asks to be told (``Type=notify``).

The protocol is one datagram of ``NAME=value`` lines to the socket that ``NOTIFY_SOCKET`` names; sd_notify(3).
"""

from __future__ import annotations

import os
import socket

import structlog

log = structlog.get_logger("palaver.app")


def tell(*lines: str) -> None:
    """Send these lines, if there is somebody who listens. A supervisor that cannot be told is no reason to fail."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # Linux's abstract sockets begin with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.sendto("\n".join(lines).encode(), address)
    except OSError as error:
        log.warning("systemd cannot be told", cause=error.strerror)
