"""What a call must pass before its handler: the client's key, its rights, its limit."""

from __future__ import annotations

import math
import urllib.parse
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.identity.client import Client
from palaver_server.core.identity.door import Door
from palaver_server.core.limits.request_limiter import RequestLimiter, rate_limited
from palaver_server.core.limits.token_bucket import Charge
from palaver_server.rpc.call import Call

KEY_HEADER = "x-api-key"
AUTHORIZATION_HEADER = "authorization"
FORWARDED_FOR_HEADER = "x-forwarded-for"

OPEN_SERVICES = ("/grpc.health.v1.Health/", "/palaver.v1.WebService/", "/xds.service.orca.v3.OpenRcaService/")
"""Need no key: probes have none, load balancers neither, and who reads the documentation has none yet."""
UNCOUNTED_SERVICES = ("/grpc.reflection.",)
"""Need a key, since only whoever may call has a use for them and each call holds a stream; any key will do, and they
cost none of its calls, since tools such as grpcurl ask for the contract before every call."""

Metadata = Mapping[str, str | bytes]


class Entrance:
    """Lets calls of one listener in, or says why not.

    Args:
        door: knows the keys.
        limiter: counts calls; None where Envoy has asked for each call already.
        is_behind_edge: whether callers come through Envoy, which says where they are.
    """

    def __init__(self, door: Door, limiter: RequestLimiter | None, *, is_behind_edge: bool = False) -> None:
        self._door = door
        self._limiter = limiter
        self._is_behind_edge = is_behind_edge

    def enter(self, call: Call, metadata: Metadata) -> None:
        """Check one call, and note its client and what its answer shall tell of the client's limit.

        Raises:
            PalaverError: no good key, no right to the method, or too many calls.
        """
        if call.method.startswith(OPEN_SERVICES):
            return
        call.client = client = self._identify(call, metadata)
        if call.method.startswith(UNCOUNTED_SERVICES):
            return
        if not client.may_call(call.method):
            raise _not_allowed(client, call.method.removeprefix("/"))
        if self._limiter is not None and (charge := self._limiter.charge(client)) is not None:
            call.trailers = rate_headers(charge)
            if not charge.is_allowed:
                raise rate_limited(client, charge)

    def _identify(self, call: Call, metadata: Metadata) -> Client:
        key = key_from(metadata)
        if self._is_behind_edge:  # failures were counted when Envoy asked
            return self._door.identify(key, address=None, is_local=is_loopback(_forwarded_for(metadata)))
        address = address_from(call.peer)
        return self._door.identify(key, address=address, is_local=is_loopback(address))


def _not_allowed(client: Client, name: str) -> PalaverError:
    if client.key_id is None:
        sentence = f"{name} is off for callers without an API key; the server's setting allow_explain opens it."
    elif client.methods is None:
        sentence = f"The API key may not call {name}, which only keys may whose methods name it."
    else:
        sentence = f"The API key may not call {name}."
    return PalaverError(Reason.METHOD_NOT_ALLOWED, sentence, metadata={"method": name})


def key_from(metadata: Metadata) -> str | None:
    """The key that a caller shows: ``x-api-key: KEY`` or ``authorization: Bearer KEY``; None for none.

    Raises:
        PalaverError: it shows two different ones.
    """
    plain = _text(metadata.get(KEY_HEADER)).strip()
    scheme, _, bearer = _text(metadata.get(AUTHORIZATION_HEADER)).strip().partition(" ")
    bearer = bearer.strip() if scheme.lower() == "bearer" else ""  # schemes know no case: RFC 9110, 11.1
    if plain and bearer and plain != bearer:
        raise PalaverError(
            Reason.KEY_MALFORMED, "Two different API keys were sent, in x-api-key and in authorization; send one."
        )
    return plain or bearer or None


def rate_headers(charge: Charge) -> tuple[tuple[str, str], ...]:
    """What an answer tells of a limit: calls a minute, calls left, whole seconds until all are there again."""
    return (
        ("x-ratelimit-limit", str(charge.limit)),
        ("x-ratelimit-remaining", str(charge.remaining)),
        ("x-ratelimit-reset", str(math.ceil(charge.reset_seconds))),
    )


def address_from(peer: str) -> str | None:
    """The address in grpcio's name of a peer, ``ipv4:192.0.2.1:50000`` or ``ipv6:%5B2001:db8::1%5D:50000``.

    None for a unix socket.
    """
    kind, _, place = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return None
    return urllib.parse.unquote(place).rpartition(":")[0].strip("[]")


@lru_cache(maxsize=1024)
def is_loopback(address: str | None) -> bool:
    """Tell whether a caller is on this machine; one who comes by a unix socket is."""
    if address is None:
        return True
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def _forwarded_for(metadata: Metadata) -> str | None:
    """Who connected to Envoy, which writes its address last; what stands before came from the caller."""
    return _text(metadata.get(FORWARDED_FOR_HEADER)).rpartition(",")[2].strip() or None


def _text(value: str | bytes | None) -> str:
    return value if isinstance(value, str) else ""
