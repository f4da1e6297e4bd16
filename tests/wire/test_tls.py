"""TLS and mutual TLS of a listening address, and certificates that change while it serves."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from palaver_server.rpc import tls
from palaver_server.rpc.listener import ListenError, bind
from palaver_server.rpc.tls import TlsFiles, TlsFilesError
from palaver_server.rpc.transport import ServerLimits, new_server


@dataclass
class Signed:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, encryption: KeySerializationEncryption | None = None) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def sign(name: str, by: Signed | None = None) -> Signed:
    """A CA, or a certificate for this machine that a CA signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    )
    return Signed(builder.sign(by.key if by else key, hashes.SHA256()), key)


def write(files: TlsFiles, identity: Signed) -> None:
    files.certificate.write_bytes(identity.pem)
    files.key.write_bytes(identity.key_pem())
    files.key.chmod(0o600)


@pytest.fixture
def ca() -> Signed:
    return sign("test CA")


@pytest.fixture
def files(tmp_path: Path, ca: Signed) -> TlsFiles:
    found = TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    write(found, sign("first", ca))
    return found


async def greet(request: bytes, _context: object) -> bytes:
    return b"hello " + request


@asynccontextmanager
async def serving(files: TlsFiles, listen: str = "127.0.0.1:0") -> AsyncIterator[str]:
    server = new_server(ServerLimits())
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Greet": grpc.unary_unary_rpc_method_handler(greet)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Greeter", handlers)])
    bound = bind(server, listen, files)
    await server.start()
    try:
        async with asyncio.timeout(30):
            yield bound
    finally:
        await server.stop(None)


def connect(target: str, ca: Signed, client: Signed | None = None) -> grpc.aio.Channel:
    pair = (client.key_pem(), client.pem) if client else (None, None)
    return grpc.aio.secure_channel(
        target,
        grpc.ssl_channel_credentials(ca.pem, *pair),
        options=[("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost")],
    )


async def call(channel: grpc.aio.Channel) -> bytes:
    greeting: Any = channel.unary_unary("/test.Greeter/Greet")
    return bytes(await greeting(b"you", timeout=10))


async def call_anew(target: str, ca: Signed, client: Signed | None = None) -> bytes:
    async with connect(target, ca, client) as channel:
        return await call(channel)


async def name_shown(target: str, ca: Signed) -> str:
    """The common name in the certificate that a new connection is shown."""
    context = ssl.create_default_context(cadata=ca.pem.decode())
    context.set_alpn_protocols(["h2"])
    host, _, port = target.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=context)
    name: str = writer.get_extra_info("peercert")["subject"][0][0][1]
    writer.transport.abort()
    return name


async def test_a_client_that_trusts_the_ca_is_served(files: TlsFiles, ca: Signed) -> None:
    async with serving(files) as target:
        assert await call_anew(target, ca) == b"hello you"
        assert await name_shown(target, ca) == "first"


async def test_tls_works_on_a_unix_socket(files: TlsFiles, ca: Signed, tmp_path: Path) -> None:
    async with serving(files, f"unix:{tmp_path / 'socket'}") as target:
        assert await call_anew(target, ca) == b"hello you"


async def test_plaintext_and_strangers_to_the_ca_are_not_served(files: TlsFiles) -> None:
    async with serving(files) as target:
        async with grpc.aio.insecure_channel(target) as plaintext:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(plaintext)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call_anew(target, sign("another CA"))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_old_tls_versions_are_refused(files: TlsFiles, ca: Signed) -> None:
    context = ssl.create_default_context(cadata=ca.pem.decode())
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    async with serving(files) as target:
        host, _, port = target.rpartition(":")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=context)


async def test_mutual_tls_serves_those_alone_whom_the_client_ca_signed(
    files: TlsFiles, ca: Signed, tmp_path: Path
) -> None:
    client_ca = sign("client CA")
    (tmp_path / "ca.crt").write_bytes(client_ca.pem)
    mutual = TlsFiles(files.certificate, files.key, tmp_path / "ca.crt")
    async with serving(mutual) as target:
        assert await call_anew(target, ca, sign("client", client_ca)) == b"hello you"
        for stranger in (None, sign("stranger", sign("another CA"))):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call_anew(target, ca, stranger)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_new_files_are_used_for_new_connections_and_open_ones_go_on(files: TlsFiles, ca: Signed) -> None:
    async with serving(files) as target, connect(target, ca) as open_before:
        assert await call(open_before) == b"hello you"
        write(files, sign("second", ca))
        assert await name_shown(target, ca) == "second"
        assert await call(open_before) == b"hello you"
        assert await call_anew(target, ca) == b"hello you"


async def test_a_link_that_is_pointed_elsewhere_is_followed(tmp_path: Path, ca: Signed) -> None:
    # Kubernetes changes a mounted secret by one rename of the link `..data`.
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write(TlsFiles(tmp_path / name / "tls.crt", tmp_path / name / "tls.key"), sign(name, ca))
    data = tmp_path / "..data"
    data.symlink_to("first")
    async with serving(TlsFiles(data / "tls.crt", data / "tls.key")) as target:
        assert await name_shown(target, ca) == "first"
        (tmp_path / "next").symlink_to("second")
        (tmp_path / "next").rename(data)
        assert await name_shown(target, ca) == "second"


async def test_a_new_client_ca_is_used_for_new_connections(files: TlsFiles, ca: Signed, tmp_path: Path) -> None:
    old_ca, new_ca = sign("old client CA"), sign("new client CA")
    (tmp_path / "ca.crt").write_bytes(old_ca.pem)
    async with serving(TlsFiles(files.certificate, files.key, tmp_path / "ca.crt")) as target:
        assert await call_anew(target, ca, sign("client", old_ca)) == b"hello you"
        (tmp_path / "ca.crt").write_bytes(new_ca.pem)
        assert await call_anew(target, ca, sign("client", new_ca)) == b"hello you"
        with pytest.raises(grpc.aio.AioRpcError):
            await call_anew(target, ca, sign("client", old_ca))


async def test_files_half_changed_leave_the_last_good_ones_in_force(
    files: TlsFiles, ca: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    second, log = sign("second", ca), structlog.testing.CapturingLogger()
    monkeypatch.setattr(tls, "log", log)
    async with serving(files) as target:
        files.certificate.write_bytes(second.pem)  # the key is still the first one's
        assert await name_shown(target, ca) == "first"
        assert await name_shown(target, ca) == "first"
        assert [entry.method_name for entry in log.calls] == ["warning"]  # said once, not for each connection
        assert "does not belong to the certificate" in log.calls[0].kwargs["problem"]
        files.key.unlink()
        assert await name_shown(target, ca) == "first"
        write(files, second)
        assert await name_shown(target, ca) == "second"
    assert [entry.method_name for entry in log.calls] == ["warning", "warning", "info"]
    assert "PRIVATE KEY" not in str(log.calls)


async def test_new_files_that_could_not_be_read_at_first_are_used_as_soon_as_they_can(
    files: TlsFiles, ca: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failures = TlsFiles.read, [1, 2]

    def failing(self: TlsFiles) -> grpc.ServerCertificateConfiguration:
        if failures:
            failures.pop()
            raise TlsFilesError("out of file descriptors")
        return read(self)

    async with serving(files) as target:
        assert await name_shown(target, ca) == "first"
        monkeypatch.setattr(TlsFiles, "read", failing)
        write(files, sign("second", ca))
        shown = [await name_shown(target, ca) for _ in range(3)]
    assert shown[-1] == "second"
    assert not failures


async def refusal(files: TlsFiles) -> str:
    with pytest.raises(ListenError) as caught:
        bind(new_server(ServerLimits()), "127.0.0.1:0", files)
    assert "PRIVATE KEY" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
async def test_a_key_that_everybody_can_read_or_change_is_refused_with_the_remedy(files: TlsFiles, mode: int) -> None:
    files.key.chmod(mode)
    assert f"chmod 640 {files.key}" in await refusal(files)
    files.key.chmod(0o640)
    async with serving(files):
        pass


async def test_files_that_are_missing_are_named(files: TlsFiles, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for broken in (
        TlsFiles(missing, files.key),
        TlsFiles(files.certificate, missing),
        TlsFiles(files.certificate, files.key, missing),
    ):
        assert f"cannot read {missing}: No such file or directory" in await refusal(broken)


async def test_a_key_that_cannot_be_read_is_named(files: TlsFiles) -> None:
    files.key.unlink()
    files.key.mkdir()
    assert f"cannot read {files.key}: Is a directory" in await refusal(files)


async def test_a_key_of_another_certificate_is_refused(files: TlsFiles, ca: Signed) -> None:
    files.certificate.write_bytes(sign("another", ca).pem)
    assert f"{files.key} does not belong to the certificate {files.certificate}" in await refusal(files)


async def test_an_encrypted_key_is_refused_without_asking_for_its_passphrase(files: TlsFiles, ca: Signed) -> None:
    files.key.write_bytes(sign("first", ca).key_pem(BestAvailableEncryption(b"secret")))
    assert f"the key {files.key} is encrypted" in await refusal(files)


async def test_files_that_are_no_pem_are_refused(files: TlsFiles, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nothing")
    nonsense.chmod(0o600)
    assert "are not a PEM certificate and its PEM key" in await refusal(TlsFiles(nonsense, files.key))
    assert "are not a PEM certificate and its PEM key" in await refusal(TlsFiles(files.certificate, nonsense))
    assert "holds no PEM certificates" in await refusal(TlsFiles(files.certificate, files.key, nonsense))
