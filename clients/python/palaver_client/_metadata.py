"""What travels beside a request: the key, the request id, and what the caller adds."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

API_KEY = "x-api-key"
REQUEST_ID = "x-request-id"

_KEY = re.compile(r"[\x21-\x7e]{1,4096}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
"""What a server takes over into its log; it would replace any other id by one of its own."""
_NAME = re.compile(r"[0-9a-z_.-]{1,256}")
_VALUE = re.compile(r"[\x20-\x7e]*")
_RESERVED = frozenset({API_KEY, REQUEST_ID, "authorization"})

Metadata = tuple[tuple[str, str | bytes], ...]


def new_request_id() -> str:
    """A random name for a call, 32 hexadecimal digits."""
    return uuid.uuid4().hex


def checked_key(api_key: str) -> str:
    """Give the key back if it can travel. gRPC's own refusal would print it.

    Raises:
        ValueError: it cannot; the message does not hold it.
    """
    if not _KEY.fullmatch(api_key):
        raise ValueError("api_key: it has spaces, line ends or characters beyond ASCII; is it a whole file's text?")
    return api_key


def checked_request_id(request_id: str) -> str:
    """Give the id back if the server would take it over.

    Raises:
        ValueError: it would not.
    """
    if not _REQUEST_ID.fullmatch(request_id):
        raise ValueError(f"request_id: write 1 to 128 of the characters A-Z a-z 0-9 . _ : / + = -, not {request_id!r}")
    return request_id


def call_metadata(api_key: str | None, request_id: str, extra: Mapping[str, str | bytes] | None) -> Metadata:
    """The metadata of one call.

    Raises:
        ValueError: a name or value of ``extra`` cannot travel, or is not the caller's to set.
    """
    entries: list[tuple[str, str | bytes]] = [(REQUEST_ID, request_id)]
    if api_key:
        entries.append((API_KEY, api_key))
    for name, value in (extra or {}).items():
        if name in _RESERVED or name.startswith("grpc-"):
            raise ValueError(f"metadata: {name} has an argument of its own, or is gRPC's")
        if not _NAME.fullmatch(name):
            raise ValueError(f"metadata: {name!r} must be lower-case letters, digits, '_', '-' and '.'")
        if name.endswith("-bin") != isinstance(value, bytes):
            raise ValueError(f"metadata: {name} must be bytes if its name ends in -bin, and text if not")
        if isinstance(value, str) and not _VALUE.fullmatch(value):
            raise ValueError(f"metadata: the value of {name} must be printable ASCII")
        entries.append((name, value))
    return tuple(entries)
