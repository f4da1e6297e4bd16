"""Addresses, keys and certificates are checked before anything is sent."""

from __future__ import annotations

import json
import pickle

import grpc
import pytest

from palaver_client import AsyncClient, Client, errors
from palaver_client._address import parse_address
from palaver_client._metadata import call_metadata

SECRET = "palaver-secret-key-0123456789"


@pytest.mark.parametrize(
    ("text", "target", "is_local"),
    [
        ("127.0.0.1:50051", "dns:127.0.0.1:50051", True),
        ("127.5.5.5:1", "dns:127.5.5.5:1", True),
        ("localhost:1", "dns:localhost:1", True),
        ("LOCALHOST.:1", "dns:LOCALHOST.:1", True),
        ("[::1]:65535", "dns:[::1]:65535", True),
        ("10.0.0.1:50051", "dns:10.0.0.1:50051", False),
        ("0.0.0.0:50051", "dns:0.0.0.0:50051", False),
        ("[2001:db8::1]:1", "dns:[2001:db8::1]:1", False),
        ("chat.example.com:443", "dns:chat.example.com:443", False),
        ("localhost.example.com:443", "dns:localhost.example.com:443", False),
        ("127.0.0.1.example.com:443", "dns:127.0.0.1.example.com:443", False),
        ("unix:/run/a b%/c.sock", "unix:/run/a%20b%25/c.sock", True),
    ],
)
def test_an_address_is_read_and_known_to_be_local_or_not(text, target, is_local):
    address = parse_address(text)
    assert (address.target, address.is_local, address.text) == (target, is_local, text)


def test_a_relative_socket_path_does_not_move_with_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert parse_address("unix:p.sock").target == f"unix:{tmp_path}/p.sock"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        ":50051",
        "host:",
        "host:0",
        "host:65536",
        "host:http",
        "host:-1",
        "::1:50051",
        "[::1]",
        "unix:",
        "https://host:443",
        "http://127.0.0.1:50051",
        "ipv4:127.0.0.1:5",
        "host:1,host:2",
        "a b:1",
        "user@host:1",
        "host/path:1",
        "[host]:1",
    ],
)
def test_what_is_no_address_is_refused_with_the_forms_there_are(text):
    with pytest.raises(ValueError, match=r"^address: .*HOST:PORT"):
        parse_address(text)


def test_without_arguments_the_variables_decide_and_else_the_loopback(monkeypatch):
    assert Client().address == "127.0.0.1:50051"
    monkeypatch.setenv("PALAVER_ADDRESS", "unix:/tmp/x.sock")
    assert AsyncClient().address == "unix:/tmp/x.sock"
    assert Client("localhost:5").address == "localhost:5"


def test_an_empty_variable_is_none(monkeypatch):
    for name in ("PALAVER_ADDRESS", "PALAVER_API_KEY", "PALAVER_CA"):
        monkeypatch.setenv(name, "")
    assert repr(Client()) == "Client(127.0.0.1:50051 (plaintext))"


async def test_the_key_travels_and_is_not_shown(fake, new_caller, monkeypatch):
    monkeypatch.setenv("PALAVER_API_KEY", SECRET)
    with_key = new_caller(fake.address)
    await with_key.chat("hi")
    assert fake.calls[-1].metadata["x-api-key"] == SECRET
    shown = repr(with_key.client) + repr(vars(with_key.client)) + repr(with_key.client._chat_call("x", None, {}))
    assert SECRET not in shown
    assert "with a key" in shown
    without = new_caller(fake.address, api_key="")
    await without.chat("hi")
    assert "x-api-key" not in fake.calls[-1].metadata


@pytest.mark.parametrize("address", ["10.0.0.1:1", "example.com:443", "0.0.0.0:1"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_key_is_not_sent_in_the_clear_to_another_machine(kind, address, monkeypatch):
    for make in (lambda: kind(address, api_key=SECRET), lambda: kind(address)):
        monkeypatch.setenv("PALAVER_API_KEY", SECRET)
        with pytest.raises(ValueError, match=r"^api_key: it would travel to .* in the clear") as caught:
            make()
        assert SECRET not in str(caught.value)
    assert "with a key" in repr(kind(address, api_key=SECRET, allow_plaintext_key=True))
    assert "TLS, with a key" in repr(kind(address, api_key=SECRET, tls=True))
    assert "plaintext" in repr(kind(address, api_key=""))


@pytest.mark.parametrize("key", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}ü", "a b"])
def test_a_key_that_cannot_travel_is_refused_unseen(key):
    with pytest.raises(ValueError, match=r"^api_key: ") as caught:
        Client(api_key=key)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"client_certificate": "c.pem"}, "client_certificate and client_key: give both or neither"),
        ({"client_key": "k.pem"}, "client_certificate and client_key: give both or neither"),
        ({"ca_certificate": "/no/such.pem"}, "ca_certificate: cannot read /no/such.pem: No such file or directory"),
        ({"ca_certificate": "x.pem", "tls": False}, "ca_certificate: it is of no use with tls=False"),
        ({"tls_server_name": "x", "tls": False}, "tls_server_name: it is of no use with tls=False"),
        ({"tls_server_name": "x"}, "tls_server_name: it is of no use without TLS"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"timeout": float("nan")}, "timeout must be above 0"),
        ({"max_request_bytes": 0}, "max_request_bytes must be from 1"),
        ({"max_answer_bytes": 2**31}, "max_answer_bytes must be from 1"),
    ],
)
def test_a_wrong_setting_is_named(settings, message):
    with pytest.raises(ValueError, match=r".") as caught:
        Client(**settings)
    assert str(caught.value).startswith(message)


def test_a_file_without_certificates_is_named(tmp_path, monkeypatch):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(ValueError, match=r"^ca_certificate: .*empty.pem holds no PEM certificates"):
        Client(ca_certificate=empty)
    with pytest.raises(ValueError, match=r"^client_certificate: .* are not a PEM certificate"):
        Client(tls=True, client_certificate=empty, client_key=empty)
    monkeypatch.setenv("PALAVER_CA", str(empty))
    with pytest.raises(ValueError, match=r"^PALAVER_CA: .*empty.pem holds no PEM certificates"):
        Client()
    assert "plaintext" in repr(Client(tls=False))


async def test_a_request_id_and_metadata_of_the_caller_travel(caller, fake):
    answer = await caller.chat("hi", request_id="mine/1", metadata={"traceparent": "00-1", "baggage-bin": b"\x00\xff"})
    assert fake.calls[0].metadata["x-request-id"] == "mine/1"
    assert fake.calls[0].metadata["traceparent"] == "00-1"
    assert fake.calls[0].metadata["baggage-bin"] == b"\x00\xff"
    assert answer.request_id == "server-mine/1"


async def test_each_call_has_a_request_id_of_its_own_from_the_factory(new_caller, fake):
    names = iter(["first", "second"])
    caller = new_caller(fake.address, request_id_factory=lambda: next(names))
    await caller.chat("hi")
    await caller.read(caller.client.stream("hi"))
    assert [call.metadata["x-request-id"] for call in fake.calls] == ["first", "second"]


@pytest.mark.parametrize("request_id", ["a b", "ü", "x" * 129, "line\n"])
async def test_a_request_id_that_the_server_would_replace_is_refused(caller, request_id):
    with pytest.raises(ValueError, match=r"^request_id: "):
        await caller.chat("hi", request_id=request_id)


@pytest.mark.parametrize(
    "metadata",
    [
        {"x-api-key": "k"},
        {"authorization": "Bearer k"},
        {"x-request-id": "r"},
        {"grpc-timeout": "1S"},
        {"Upper": "x"},
        {"a b": "x"},
        {"a": "line\nend"},
        {"a": b"bytes"},
        {"a-bin": "text"},
    ],
)
def test_metadata_that_cannot_travel_is_refused(metadata):
    with pytest.raises(ValueError, match=r"^metadata: "):
        call_metadata(None, "id", metadata)


def test_errors_survive_being_pickled():
    violation = errors.FieldViolation("options.temperature", "too high")
    error = errors.Overloaded(
        "full",
        reason="SERVER_OVERLOADED",
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        request_id="r",
        retry_after=1.5,
        fields=[violation],
        metadata={"a": "b"},
    )
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is errors.Overloaded
    assert vars(copy) == vars(error)
    assert str(copy) == "full [SERVER_OVERLOADED, request r]"
    assert json.dumps(copy.metadata) == '{"a": "b"}'


async def test_a_local_server_is_not_called_through_a_proxy(caller, monkeypatch):
    for name in ("grpc_proxy", "http_proxy", "https_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await caller.chat("directly")).text == "directly"


async def test_a_unix_socket_is_an_address(serve, new_caller, tmp_path):
    path = tmp_path / "p a l.sock"
    await serve(listen=f"unix:{path}")
    caller = new_caller(f"unix:{path}", api_key=SECRET)
    assert (await caller.chat("over the socket")).text == "over the socket"
