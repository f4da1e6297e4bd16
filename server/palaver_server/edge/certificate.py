"""A certificate for development: an authority of this machine's own, and a certificate that it signs for the edge.

Made at first use in the state folder and kept, so that clients need to be told of the authority once. What somebody put
there by themselves is used as it is and never written over.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from palaver_server.edge.binary import EdgeError

AUTHORITY_DAYS = 3650
"""Clients are told of the authority by hand, so it lives long."""
LEAF_DAYS = 90
"""Its renewal costs nobody anything: it happens at a start."""
RENEW_DAYS = 30
AUTHORITY_NAME = "palaver development authority"


@dataclass(frozen=True, slots=True)
class DevelopmentCertificate:
    """The files of the development certificate in one folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate, which clients need."""
        return self.folder / "ca.crt"

    @property
    def chain(self) -> Path:
        """What the edge shows."""
        return self.folder / "tls.crt"

    @property
    def key(self) -> Path:
        """The private key of ``chain``."""
        return self.folder / "tls.key"

    @property
    def _ca_key(self) -> Path:
        return self.folder / "ca.key"

    def ensure(self, names: Sequence[str]) -> None:
        """Make what is missing; renew what ends soon or lacks a name. Takes some milliseconds.

        Args:
            names: host names and IP addresses that clients may write, beyond this machine's own.

        Raises:
            EdgeError: the folder holds a part of a certificate only, or cannot be written.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_somebody_elses():
                return
            authority = self._authority()
            wanted = _san(names)
            if self._needs_leaf(authority[0], wanted):
                self._make_leaf(*authority, wanted)
        except (OSError, ValueError) as error:
            raise EdgeError(f"The development certificate in {self.folder} cannot be used: {error}") from error

    def _is_somebody_elses(self) -> bool:
        """Tell whether a certificate lies here that we did not make."""
        if self._ca_key.exists():
            return False
        mine = [path for path in (self.chain, self.key, self.ca) if path.exists()]
        if not mine:
            return False
        if self.chain not in mine or self.key not in mine:
            raise EdgeError(
                f"{self.folder} holds {mine[0].name}, but not both tls.crt and tls.key: add what is missing, or move "
                "it away and a certificate for development is made."
            )
        return True

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        if self._ca_key.exists() and self.ca.exists():
            certificate = x509.load_pem_x509_certificate(self.ca.read_bytes())
            key = serialization.load_pem_private_key(self._ca_key.read_bytes(), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise EdgeError(f"{self._ca_key} is not a key that palaver has made.")
            if certificate.not_valid_after_utc > _now() + dt.timedelta(days=LEAF_DAYS):
                return certificate, key
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY_NAME),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, socket.gethostname()[:64] or "localhost"),
            ]
        )
        certificate = (
            _builder(name, name, key.public_key(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(self._ca_key, _pem(key), 0o600)
        _write(self.ca, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return certificate, key

    def _needs_leaf(self, authority: x509.Certificate, wanted: x509.SubjectAlternativeName) -> bool:
        if not (self.chain.exists() and self.key.exists()):
            return True
        leaf = x509.load_pem_x509_certificate(self.chain.read_bytes())
        with suppress(ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            leaf.verify_directly_issued_by(authority)
            has = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            ends_soon = leaf.not_valid_after_utc < _now() + dt.timedelta(days=RENEW_DAYS)
            return ends_soon or not set(wanted) <= set(has)
        return True

    def _make_leaf(
        self, authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey, san: x509.SubjectAlternativeName
    ) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "palaver")])
        identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        leaf = (
            _builder(authority.subject, name, key.public_key(), LEAF_DAYS)
            .add_extension(san, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
            )  # OpenSSL 3 in its strict mode, which Python uses since 3.13, asks for it
            .sign(authority_key, hashes.SHA256())
        )
        _write(self.key, _pem(key), 0o600)
        _write(self.chain, leaf.public_bytes(serialization.Encoding.PEM), 0o644)


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    begins = _now() - dt.timedelta(minutes=5)  # clocks differ
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + dt.timedelta(days=days))
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _san(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """Every name under which this machine may be asked."""
    found: dict[x509.GeneralName, None] = {}
    for name in ("localhost", "127.0.0.1", "::1", socket.gethostname(), *names):
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            with suppress(ValueError):  # a host name that is not ASCII stands in no certificate
                found[x509.DNSName(name)] = None
        else:
            if not address.is_unspecified:
                found[x509.IPAddress(address)] = None
    return x509.SubjectAlternativeName(found)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write a file in one step; a key is never readable by others, not for a moment."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).rename(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
