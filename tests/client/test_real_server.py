"""The client against the product: in this process where the engine is looked at, as a child where it is restarted."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from palaver.v1 import model_pb2
from palaver_client import AsyncClient, AsyncConversation, RetryPolicy, errors

ENDLESS = {"scripted_tokens": 1_000_000, "scripted_interval": 0.005}


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)


async def test_an_answer_is_the_same_in_one_piece_and_streamed(serve, new_caller):
    server = await serve()
    caller = new_caller(server.address)
    options = {"system": "be kind", "max_output_tokens": 3, "stop_sequences": ["four"]}
    whole = await caller.chat("one two three four", **options)
    stream = caller.client.stream("one two three four", **options)
    pieces = await caller.read(stream)
    assert len(pieces) > 1
    assert "".join(pieces) == whole.text == "one two three"
    for answer in (whole, stream.answer):
        for field in ("id", "create_time", "timings"):
            answer.proto.ClearField(field)
    assert whole.proto == stream.answer.proto
    assert whole.finish_reason == "length"


async def test_tokens_models_and_readiness(serve, new_caller):
    server = await serve()
    caller = new_caller(server.address)
    await caller.call("wait_until_ready", 10)
    answer = await caller.chat("one two three", system="s")
    assert (await caller.call("count_tokens", "one two three", system="s")).prompt_token_count == (
        answer.usage.prompt_token_count
    )
    assert (await caller.call("get_model")).state == model_pb2.MODEL_STATE_READY
    assert [model.id for model in await caller.call("list_models")] == ["scripted"]
    with pytest.raises(errors.NotFound) as caught:
        await caller.call("get_model", "no-such-model")
    assert caught.value.reason == "MODEL_NOT_FOUND"


async def test_a_field_out_of_range_is_named_as_the_contract_names_it(serve, new_caller):
    server = await serve()
    caller = new_caller(server.address)
    with pytest.raises(errors.InvalidRequest) as caught:
        await caller.chat("x", temperature=3, request_id="find-me")
    assert [violation.field for violation in caught.value.fields] == ["options.temperature"]
    assert (caught.value.reason, caught.value.request_id) == ("INVALID_FIELD", "find-me")
    with pytest.raises(errors.InvalidRequest) as caught:
        await caller.read(caller.client.stream("x", top_p=-1))
    assert [violation.field for violation in caught.value.fields] == ["chat.options.top_p"]
    with pytest.raises(errors.InvalidRequest) as caught:
        await caller.chat([])
    assert [violation.field for violation in caught.value.fields] == ["messages"]
    with pytest.raises(errors.InvalidRequest) as caught:
        await caller.chat("word " * 9000)
    assert caught.value.reason == "PROMPT_TOO_LONG"
    assert caught.value.metadata["context_length"] == "8192"


async def test_a_closed_stream_leaves_the_engine_idle(serve, new_caller):
    server = await serve(**ENDLESS)
    caller = new_caller(server.address)
    for _ in range(20):
        stream = caller.client.stream("go")
        await caller.read(stream, 2)
        assert server.engine.running_count == 1
        await caller.close(stream)
        await until(lambda: server.engine.running_count == 0)


async def test_a_cancelled_task_leaves_the_engine_idle(serve):
    server = await serve(**ENDLESS)
    async with AsyncClient(server.address) as client:

        async def listen():
            async for _ in client.stream("go"):
                pass

        tasks = [asyncio.create_task(listen()) for _ in range(10)]
        tasks += [asyncio.create_task(client.chat("go")) for _ in range(10)]
        await until(lambda: server.engine.running_count == 20)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        await until(lambda: server.engine.running_count == 0)


async def test_a_timeout_leaves_the_engine_idle(serve, new_caller):
    server = await serve(**ENDLESS)
    caller = new_caller(server.address)
    stream = caller.client.stream("go", timeout=0.3)
    began = time.monotonic()
    for call in (caller.read(stream), caller.chat("go", timeout=0.3)):
        with pytest.raises(errors.DeadlineExceeded):
            await call
    assert time.monotonic() - began < 3
    assert stream.text
    await until(lambda: server.engine.running_count == 0)


async def test_a_time_limit_is_no_failure(serve, new_caller):
    server = await serve(**ENDLESS)
    answer = await new_caller(server.address).chat("go", time_limit=0.2)
    assert answer.finish_reason == "time_limit"
    assert answer.text


async def test_calls_of_a_full_server_come_through_by_waiting_as_told(serve):
    server = await serve(max_concurrent_requests=2, max_queued_requests=0, scripted_tokens=2, scripted_interval=0.02)
    patient = RetryPolicy(max_attempts=50, initial_backoff=0.02, max_backoff=0.05)
    async with AsyncClient(server.address, retry=patient) as client:
        answers = await asyncio.gather(*(client.chat("x") for _ in range(6)))
        assert all(answer.usage.output_token_count == 2 for answer in answers)
    async with AsyncClient(server.address, retry=None) as client:
        results = await asyncio.gather(*(client.chat("x") for _ in range(6)), return_exceptions=True)
        refused = [result for result in results if isinstance(result, errors.Overloaded)]
        assert refused
        assert {error.reason for error in refused} == {"SERVER_OVERLOADED"}
        assert all(error.retry_after and error.retry_after > 0 for error in refused)


async def test_a_call_while_the_model_loads_says_when_to_come_back(serve, new_caller):
    server = await serve(wait_until_ready=False, scripted_load=1.0)
    caller = new_caller(server.address, retry=None)
    with pytest.raises(errors.Unavailable) as caught:
        await caller.chat("x")
    assert caught.value.reason == "MODEL_LOADING"
    assert caught.value.retry_after > 0
    assert (await caller.call("get_model")).state == model_pb2.MODEL_STATE_LOADING
    await caller.call("wait_until_ready", 20)
    assert (await caller.chat("x")).text == "x"


async def test_an_engine_that_fails_in_the_middle_is_told_with_what_came(serve, new_caller):
    server = await serve(scripted_fail_after=2)
    caller = new_caller(server.address)
    stream = caller.client.stream("one two three")
    with pytest.raises(errors.InternalError) as caught:
        await caller.read(stream)
    assert caught.value.reason == "GENERATION_FAILED"
    assert stream.text == "one two"


async def test_tls_is_checked_and_a_client_certificate_shown(serve, new_caller, tmp_path, monkeypatch):
    certificates = write_certificates(tmp_path)
    server = await serve(
        tls_cert=certificates.server, tls_key=certificates.server_key, tls_client_ca=certificates.authority
    )
    shown = {"client_certificate": certificates.client, "client_key": certificates.client_key}
    caller = new_caller(server.address, ca_certificate=certificates.authority, api_key="some-key", **shown)
    assert (await caller.chat("in private")).text == "in private"
    monkeypatch.setenv("PALAVER_CA", str(certificates.authority))
    assert (await new_caller(server.address, **shown).chat("by variable")).text == "by variable"
    without = new_caller(server.address, retry=None)
    with pytest.raises(errors.ConnectionFailed):
        await without.chat("no certificate shown")
    by_name = new_caller(server.address, tls_server_name="another.name", retry=None, **shown)
    with pytest.raises(errors.ConnectionFailed):
        await by_name.chat("the name is checked")
    monkeypatch.delenv("PALAVER_CA")
    strangers = new_caller(server.address, tls=True, retry=None)
    with pytest.raises(errors.ConnectionFailed):
        await strangers.chat("the authority is checked")


@dataclass
class Child:
    """``palaver serve`` as a user runs it."""

    process: asyncio.subprocess.Process
    address: str
    reader: asyncio.Task[None]

    async def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        code = await self.process.wait()
        await self.reader
        return code


StartChild = Callable[..., Awaitable[Child]]


@pytest.fixture
async def start_child() -> AsyncIterator[StartChild]:
    children: list[Child] = []

    async def start(*flags: str, listen: str = "127.0.0.1:0") -> Child:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "palaver_server", "serve", "--engine", "scripted", "--listen", listen, *flags),
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        address = ""
        while not address:
            line = await process.stderr.readline()
            assert line, "the server ended"
            if found := re.search(rb'[Ll]istening on ([^ ;"]+)|"address": "([^"]+)"', line):
                address = (found[1] or found[2]).decode()

        async def read_on() -> None:
            while await process.stderr.readline():
                pass

        children.append(Child(process, address, asyncio.create_task(read_on())))
        return children[-1]

    yield start
    for child in children:
        if child.process.returncode is None:
            child.process.kill()
        await child.process.wait()
        await child.reader


async def test_a_hundred_conversations_at_once_each_keep_their_own_history(start_child):
    child = await start_child("--max-concurrent-requests", "100", "--scripted-interval", "0.001")
    async with AsyncClient(child.address) as client:
        await client.wait_until_ready(30)

        async def talk(number: int) -> AsyncConversation:
            conversation = AsyncConversation(client, system=f"system {number}")
            for turn in range(4):
                question = f"conversation {number} turn {turn}"
                if turn % 2:
                    assert str(await conversation.ask(question)) == question
                else:
                    async with conversation.stream(question) as stream:
                        assert "".join([piece async for piece in stream]) == question
            return conversation

        conversations = await asyncio.gather(*(talk(number) for number in range(100)))
    for number, conversation in enumerate(conversations):
        texts = ["".join(part.text for part in message.content) for message in conversation.messages]
        turns = [f"conversation {number} turn {turn}" for turn in range(4)]
        assert texts == [f"system {number}", *(text for turn in turns for text in (turn, turn))]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
async def test_conversations_outlast_a_server_that_is_restarted_between_turns(start_child, new_caller, number):
    child = await start_child()
    caller = new_caller(child.address, retry=RetryPolicy(max_attempts=30, initial_backoff=0.2, max_backoff=1.0))
    await caller.call("wait_until_ready", 30)
    conversation = caller.conversation()
    await caller.ask(conversation, "before")
    await child.stop(number)
    asked = asyncio.create_task(caller.ask(conversation, "during"))
    await start_child(listen=child.address)
    assert (await asked).text == "during"
    await caller.ask(conversation, "after")
    assert len(conversation.messages) == 6


async def test_a_server_that_dies_in_the_middle_of_a_stream_is_told_at_once(start_child, new_caller):
    child = await start_child("--scripted-tokens", "100000", "--scripted-interval", "0.01")
    caller = new_caller(child.address)
    await caller.call("wait_until_ready", 30)
    conversation = caller.conversation()
    stream = conversation.stream("go")
    await caller.read(stream, 2)
    await child.stop(signal.SIGKILL)
    with pytest.raises(errors.ConnectionFailed) as caught:
        await caller.read(stream)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert stream.text
    assert conversation.messages == ()


async def test_a_server_that_drains_lets_a_stream_end(start_child, new_caller):
    child = await start_child("--scripted-tokens", "50", "--scripted-interval", "0.02", "--grace", "20")
    caller = new_caller(child.address, retry=None)
    await caller.call("wait_until_ready", 30)
    stream = caller.client.stream("go")
    await caller.read(stream, 2)
    stopped = asyncio.create_task(child.stop(signal.SIGTERM))
    await caller.read(stream)
    assert stream.usage.output_token_count == 50
    assert await stopped == 0


@dataclass
class Certificates:
    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def write_certificates(folder: Path) -> Certificates:
    """An authority, and what it signed for a server at 127.0.0.1 and for a client."""
    now = dt.datetime.now(dt.UTC)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])

    def issue(name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> Path:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        path = folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        return path

    def issue_pair(name: str) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        path = folder / f"{name}-key.pem"
        path.touch(0o600)
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return issue(name, key, is_authority=False), path

    authority = issue("authority", authority_key, is_authority=True)
    return Certificates(authority, *issue_pair("server"), *issue_pair("client"))
