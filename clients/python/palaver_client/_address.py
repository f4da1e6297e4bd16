"""What an address says, and whether it can be reached by this machine alone."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

DEFAULT_ADDRESS = "127.0.0.1:50051"
_FORMS = "write HOST:PORT, [IPV6]:PORT or unix:/path/to/socket"
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is."""

    text: str
    """As people write it."""
    target: str
    """As gRPC takes it."""
    is_local: bool
    """Whether what is sent there cannot leave this machine: a unix socket, a loopback address, ``localhost``."""


def parse_address(text: str) -> Address:
    """Read an address.

    Raises:
        ValueError: it has none of the forms; the message says which there are.
    """
    if "://" in text:
        raise ValueError(f"address: {text!r} has a scheme; {_FORMS}, and tls=True or ca_certificate for TLS")
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError(f"address: {text!r} has no path; {_FORMS}")
        # gRPC decodes percent signs, and would look a relative path up anew after a change of folder.
        return Address(text, f"unix:{quote(str(Path(path).absolute()))}", is_local=True)
    host, _, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    if not bare or (":" in bare) != is_bracketed or not re.fullmatch(r"[0-9]{1,5}", port):
        raise ValueError(f"address: {text!r} is none; {_FORMS}")
    if re.search(r"[\s/@,\[\]]", bare) or not 1 <= int(port) <= _MAX_PORT:
        raise ValueError(f"address: {text!r} is none; {_FORMS}, with a port from 1 to {_MAX_PORT}")
    return Address(text, f"dns:{text}", is_local=_is_loopback(bare))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # RFC 6761 keeps this name for the loopback; any other name could be made to mean anything.
        return host.rstrip(".").lower() == "localhost"
