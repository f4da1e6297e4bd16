"""Certificates: made at first use, never written over, changed under load, asked for."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509

from palaver.v1 import chat_service_pb2_grpc
from palaver_server.edge.binary import EdgeError
from palaver_server.edge.certificate import DevelopmentCertificate

MESSAGES = {"messages": [{"role": "ROLE_USER", "content": [{"text": "hi"}]}]}


def certificate(folder: Path) -> DevelopmentCertificate:
    made = DevelopmentCertificate(folder)
    made.ensure(["localhost"])
    return made


async def serial_shown(port: int, ca: Path) -> int:
    return await asyncio.to_thread(_serial_shown, port, ca)


def _serial_shown(port: int, ca: Path) -> int:
    context = ssl.create_default_context(cafile=str(ca))
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(shown).serial_number


def serial(path: Path) -> int:
    return x509.load_pem_x509_certificate(path.read_bytes()).serial_number


def delta_texts(events: str) -> list[str]:
    documents = [json.loads(line.removeprefix("data: ")) for line in events.split("\n\n") if line]
    return [document.get("delta", {}).get("text", "") for document in documents]


def new_leaf(made: DevelopmentCertificate, folder: Path) -> DevelopmentCertificate:
    """Another certificate of the same authority."""
    shutil.copytree(made.folder, folder)
    (folder / "tls.crt").unlink()
    return certificate(folder)


def test_made_once_and_kept(tmp_path):
    made = certificate(tmp_path / "tls")
    before = {path: path.read_bytes() for path in made.folder.iterdir()}
    certificate(made.folder)
    assert {path: path.read_bytes() for path in made.folder.iterdir()} == before
    for path in (made.key, made.folder / "ca.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_another_name_makes_another_leaf_of_the_same_authority(tmp_path):
    made = certificate(tmp_path)
    authority, leaf = made.ca.read_bytes(), made.chain.read_bytes()
    made.ensure(["chat.example.com", "192.0.2.7"])
    assert made.ca.read_bytes() == authority
    assert made.chain.read_bytes() != leaf
    found = x509.load_pem_x509_certificate(made.chain.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "chat.example.com" in names.get_values_for_type(x509.DNSName)
    assert "192.0.2.7" in map(str, names.get_values_for_type(x509.IPAddress))


def test_somebodys_own_certificate_is_never_written_over(tmp_path):
    other = certificate(tmp_path / "other")
    folder = tmp_path / "tls"
    folder.mkdir()
    for name in ("tls.crt", "tls.key"):
        shutil.copy(other.folder / name, folder / name)
    before = (folder / "tls.crt").read_bytes()
    DevelopmentCertificate(folder).ensure(["another.example.com"])
    assert (folder / "tls.crt").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["tls.crt", "tls.key"]


def test_half_a_certificate_is_refused_by_name(tmp_path):
    (tmp_path / "tls.key").write_text("a key of mine")
    with pytest.raises(EdgeError, match="not both"):
        certificate(tmp_path)
    assert (tmp_path / "tls.key").read_text() == "a key of mine"


def test_the_command_prints_the_authority_alone(tmp_path):
    command = [sys.executable, "-m", "palaver_server", "edge", "ca", "--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path}/tls/ca.crt\n"
    ssl.create_default_context(cafile=done.stdout.strip())


@pytest.mark.parametrize("how", ["renamed", "written over", "linked anew"])
async def test_a_new_certificate_is_shown_and_no_call_fails(start_pair, tmp_path, how):
    first = certificate(tmp_path / "first")
    second = new_leaf(first, tmp_path / "second")
    live = tmp_path / "live"
    if how == "linked anew":
        live.symlink_to(first.folder)
    else:
        shutil.copytree(first.folder, live)
    pair = start_pair(
        *("--edge-cert", str(live / "tls.crt"), "--edge-key", str(live / "tls.key")),
        *("--scripted-tokens", "100", "--scripted-interval", "0.05"),
    )
    context = ssl.create_default_context(cafile=str(first.ca))
    async with httpx.AsyncClient(base_url=pair.url, verify=context, trust_env=False, timeout=30) as client:
        done = asyncio.Event()

        async def call_all_the_time() -> int:
            count = 0
            while not done.is_set():
                # Each call is a connection of its own: the handshake is what may go wrong.
                async with httpx.AsyncClient(base_url=pair.url, verify=context, trust_env=False) as fresh:
                    answer = await fresh.get("/palaver/v1/models")
                assert answer.status_code == 200
                count += 1
            return count

        stream = asyncio.create_task(client.post("/palaver/v1/chat:stream", json=MESSAGES))
        callers = [asyncio.create_task(call_all_the_time()) for _ in range(3)]
        assert await serial_shown(pair.port, first.ca) == serial(first.chain)
        if how == "renamed":
            for name in ("tls.key", "tls.crt"):  # one after the other: in between they do not fit
                shutil.copy(second.folder / name, live / "new")
                (live / "new").rename(live / name)
        elif how == "written over":
            for name in ("tls.key", "tls.crt"):
                (live / name).write_bytes((second.folder / name).read_bytes())
        else:
            (tmp_path / "swap").symlink_to(second.folder)
            (tmp_path / "swap").replace(live)
        async with asyncio.timeout(20):
            while await serial_shown(pair.port, first.ca) != serial(second.chain):
                await asyncio.sleep(0.1)
        done.set()
        assert min(await asyncio.gather(*callers)) > 0
        assert len("".join(delta_texts((await stream).text)).split()) == 100


async def test_client_certificates_are_required_where_an_authority_is_set(start_pair, tmp_path):
    clients = certificate(tmp_path / "clients")
    pair = start_pair("--edge-client-ca", str(clients.ca))
    context = pair.ssl_context
    async with httpx.AsyncClient(base_url=pair.url, verify=context, trust_env=False) as client:
        with pytest.raises((httpx.ConnectError, httpx.ReadError, ssl.SSLError)):
            await client.get("/health")
    issue_client_certificate(clients, tmp_path)
    context.load_cert_chain(tmp_path / "client.crt", tmp_path / "client.key")
    async with httpx.AsyncClient(base_url=pair.url, verify=context, trust_env=False) as client:
        answer = await client.get("/health", headers={"x-forwarded-client-cert": "Subject=forged"})
        assert answer.status_code == 200
    assert pair.edge_call(answer.headers["x-request-id"])["certificate"] == "CN=client"
    credentials = grpc.ssl_channel_credentials(
        pair.ca.read_bytes(), (tmp_path / "client.key").read_bytes(), (tmp_path / "client.crt").read_bytes()
    )
    async with grpc.aio.secure_channel(f"localhost:{pair.port}", credentials) as channel:
        from palaver.v1 import chat_service_pb2, role_pb2  # noqa: PLC0415

        request = chat_service_pb2.ChatRequest()
        request.messages.add(role=role_pb2.ROLE_USER).content.add(text="hi")
        assert (await chat_service_pb2_grpc.ChatServiceStub(channel).Chat(request)).choices


def issue_client_certificate(authority: DevelopmentCertificate, folder: Path) -> None:
    """A client's certificate, as an operator's own authority would make it."""
    import datetime as dt  # noqa: PLC0415

    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    ca = x509.load_pem_x509_certificate(authority.ca.read_bytes())
    ca_key = serialization.load_pem_private_key((authority.folder / "ca.key").read_bytes(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "client.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = serialization.PrivateFormat.PKCS8
    (folder / "client.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption())
    )
