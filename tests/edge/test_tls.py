"""What the TLS port agrees to: nothing that is deprecated, and no cipher without forward secrecy."""

from __future__ import annotations

import socket
import ssl
import warnings

import pytest

from tests.edge.conftest import Pair


def handshake(pair: Pair, version: ssl.TLSVersion, ciphers: str = "ALL:@SECLEVEL=0") -> tuple[str, str]:
    """Offer one version and some ciphers as an old client would, and give what was agreed."""
    context = ssl.create_default_context(cafile=str(pair.ca))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are the point
        context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)
    with (
        socket.create_connection(("127.0.0.1", pair.port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        name, spoken, _ = secure.cipher() or ("", "", 0)
        return spoken, name


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["1.0", "1.1"])
def test_deprecated_versions_are_refused(pair, version):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(pair, version)


def test_every_cipher_of_tls_1_2_has_forward_secrecy_and_authenticates_what_it_encrypts(pair):
    offered = [cipher["name"] for cipher in ssl.create_default_context().get_ciphers()]
    agreed = set()
    for name in [*offered, "AES128-SHA", "AES256-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"]:
        try:
            agreed.add(handshake(pair, ssl.TLSVersion.TLSv1_2, f"{name}:@SECLEVEL=0")[1])
        except ssl.SSLError:
            continue
    assert agreed == {f"ECDHE-ECDSA-{name}" for name in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")}


def test_tls_1_3_is_spoken(pair):
    assert handshake(pair, ssl.TLSVersion.TLSv1_3)[0] == "TLSv1.3"
