"""Keys on a real server: who is let in, who is told what, and what happens when keys change under running calls."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from palaver.v1 import chat_service_pb2, content_part_pb2, message_pb2, model_service_pb2, role_pb2
from palaver_server.core.identity.issuing import create_key, revoke_key, rotate_key
from palaver_server.core.identity.key import Key
from palaver_server.core.identity.key_file import KeyFile
from palaver_server.core.identity.key_text import new_key_text
from palaver_server.settings import SettingsError, load_settings

MESSAGE = message_pb2.Message(role=role_pb2.ROLE_USER, content=[content_part_pb2.ContentPart(text="one two three")])
CHAT = chat_service_pb2.ChatRequest(messages=[MESSAGE])
STREAM = chat_service_pb2.StreamChatRequest(chat=CHAT)
SEEN_SECONDS = 1.0
"""Within which a change of keys counts."""


@pytest.fixture
def key_file(tmp_path):
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def issue(key_file):
    def issue_key(client="acme", lives=None, **fields):
        def make(key_id, now, secret):
            ends = None if lives is None else datetime.now(UTC) + lives
            # Tests look again and again whether a change counts yet: limits are another test's.
            known = {"id": key_id, "client": client, "created_at": now, "secrets": (secret,), "expires_at": ends}
            return Key(**known, requests_per_minute="unlimited", **fields)

        return create_key(key_file, make)

    return issue_key


def shown(text):
    return (("x-api-key", text),)


async def refusal(call):
    """Code, reason and message of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(caught.value)
    assert status is not None
    assert status.details[0].Unpack(info)
    return caught.value.code(), info.reason, status


async def until(is_so):
    """Wait for a change to count; it must within a second, and a busy machine gets more."""
    async with asyncio.timeout(SEEN_SECONDS * 20):
        while not await is_so():
            await asyncio.sleep(0.02)


async def is_let_in(server, text) -> bool:
    try:
        await server.chat.CountTokens(chat_service_pb2.CountTokensRequest(chat=CHAT), metadata=shown(text))
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
            raise
        return False
    return True


async def test_without_a_key_file_callers_on_this_machine_need_none_and_any_is_taken(serve, key_file):
    server = await serve(keys_file=key_file.path)
    await server.chat.Chat(CHAT)
    await server.chat.Chat(CHAT, metadata=shown("whatever"))


@pytest.mark.parametrize(
    "metadata",
    [
        lambda key: (("x-api-key", key),),
        lambda key: (("authorization", f"Bearer {key}"),),
        lambda key: (("authorization", f"bearer   {key} "),),
        lambda key: (("x-api-key", key), ("authorization", f"Bearer {key}")),
        lambda key: (("x-api-key", key), ("authorization", "Basic dTpw")),
    ],
)
async def test_a_key_is_taken_from_either_header(serve, key_file, issue, metadata):
    text = issue().text
    server = await serve(keys_file=key_file.path)
    await server.chat.Chat(CHAT, metadata=metadata(text))


async def test_every_refusal_has_its_code_and_its_reason(serve, key_file, issue):
    good, expired, revoked = issue(), issue(lives=timedelta(seconds=-1)), issue()
    revoke_key(key_file, revoked.key.id)
    server = await serve(keys_file=key_file.path)
    rows = {
        "KEY_MISSING": (),
        "KEY_MALFORMED": shown(good.text[:-1]),
        "KEY_UNKNOWN": shown(new_key_text()),
        "KEY_EXPIRED": shown(expired.text),
        "KEY_REVOKED": shown(revoked.text),
    }
    for expected, metadata in rows.items():
        for call in (
            server.chat.Chat(CHAT, metadata=metadata),
            server.chat.StreamChat(STREAM, metadata=metadata).read(),
            server.models.ListModels(model_service_pb2.ListModelsRequest(), metadata=metadata),
        ):
            code, reason, status = await refusal(call)
            assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, expected)
            for issued in (good, expired, revoked):
                assert issued.text not in str(status)
                assert issued.key.id not in str(status)
    bearer = (("x-api-key", good.text), ("authorization", f"Bearer {expired.text}"))
    assert (await refusal(server.chat.Chat(CHAT, metadata=bearer)))[1] == "KEY_MALFORMED"
    basic = (("authorization", "Basic dTpw"),)
    assert (await refusal(server.chat.Chat(CHAT, metadata=basic)))[1] == "KEY_MISSING"


async def test_a_key_opens_only_the_methods_and_models_that_it_is_for(serve, key_file, issue):
    counts = issue(methods={"palaver.v1.ChatService/CountTokens"}).text
    other = issue(models={"another-model"}).text
    this = issue(models={"scripted"}).text
    server = await serve(keys_file=key_file.path)
    await server.chat.CountTokens(chat_service_pb2.CountTokensRequest(chat=CHAT), metadata=shown(counts))
    code, reason, _ = await refusal(server.chat.Chat(CHAT, metadata=shown(counts)))
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")

    code, reason, status = await refusal(server.chat.StreamChat(STREAM, metadata=shown(other)).read())
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "MODEL_NOT_ALLOWED")
    blamed = error_details_pb2.BadRequest()
    assert status.details[1].Unpack(blamed)
    assert blamed.field_violations[0].field == "chat.model"
    name = model_service_pb2.GetModelRequest(name="models/scripted")
    assert (await refusal(server.models.GetModel(name, metadata=shown(other))))[1] == "MODEL_NOT_ALLOWED"
    listed = model_service_pb2.ListModelsRequest()
    assert not (await server.models.ListModels(listed, metadata=shown(other))).models
    assert (await server.models.ListModels(listed, metadata=shown(this))).models
    await server.chat.Chat(CHAT, metadata=shown(this))


async def test_health_needs_no_key_and_reflection_takes_any(serve, key_file, issue):
    text = issue(methods={"palaver.v1.ChatService/Chat"}).text
    server = await serve(keys_file=key_file.path)
    health = health_pb2_grpc.HealthStub(server.channel)
    await health.Check(health_pb2.HealthCheckRequest())
    reflection = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    ask = [reflection_pb2.ServerReflectionRequest(list_services="")]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await reflection.ServerReflectionInfo(iter(ask)).read()
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert await reflection.ServerReflectionInfo(iter(ask), metadata=shown(text)).read()


async def test_an_unknown_method_is_told_to_nobody_without_a_key(serve, key_file, issue):
    issue()
    server = await serve(keys_file=key_file.path)
    call = server.channel.unary_unary("/palaver.v1.ChatService/Nothing")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_create_use_rotate_revoke_while_twenty_streams_run(serve, key_file, issue):
    """None is cut that should not be, each change counts within a second, and a restart is never needed."""
    stays, goes, turns = issue("stays").text, issue("goes"), issue("turns")
    server = await serve(keys_file=key_file.path, scripted_tokens=100_000, scripted_interval=0.01)
    streams = {
        name: [server.chat.StreamChat(STREAM, metadata=shown(text)) for _ in range(count)]
        for name, text, count in (("stays", stays, 7), ("goes", goes.text, 6), ("turns", turns.text, 7))
    }
    for stream in (one for several in streams.values() for one in several):
        assert (await stream.read()).WhichOneof("event") == "started"

    new = issue("new").text
    await until(lambda: is_let_in(server, new))
    turned = rotate_key(key_file, turns.key.id, timedelta()).text
    await until(lambda: is_let_in(server, turned))
    assert not await is_let_in(server, turns.text)
    revoke_key(key_file, goes.key.id)
    revoked_at = time.monotonic()

    for stream in streams["goes"]:
        code, reason, _ = await refusal(_to_end(stream))
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "KEY_REVOKED")
    assert time.monotonic() - revoked_at < SEEN_SECONDS * 20
    assert not await is_let_in(server, goes.text)
    for stream in (*streams["stays"], *streams["turns"]):
        assert [(await stream.read()).WhichOneof("event") for _ in range(3)] == ["delta"] * 3
        stream.cancel()


async def _to_end(stream):
    while await stream.read() is not grpc.aio.EOF:
        pass


async def test_by_setting_the_streams_of_a_revoked_key_may_finish(serve, key_file, issue):
    issued = issue()
    server = await serve(keys_file=key_file.path, revoked_streams="finish", scripted_tokens=200, scripted_interval=0.01)
    stream = server.chat.StreamChat(STREAM, metadata=shown(issued.text))
    await stream.read()
    revoke_key(key_file, issued.key.id)

    async def is_revoked():
        return not await is_let_in(server, issued.text)

    await until(is_revoked)
    await _to_end(stream)
    assert await stream.code() is grpc.StatusCode.OK


async def test_a_key_expires_while_the_server_runs_and_its_stream_goes_on(serve, key_file, issue):
    text = issue(lives=timedelta(seconds=1.5)).text
    server = await serve(keys_file=key_file.path, scripted_tokens=100_000, scripted_interval=0.01)
    stream = server.chat.StreamChat(STREAM, metadata=shown(text))
    await stream.read()

    async def has_expired():
        return not await is_let_in(server, text)

    await until(has_expired)
    assert (await stream.read()).WhichOneof("event") == "delta"
    stream.cancel()


async def test_the_first_key_closes_a_running_server_to_callers_without_one(serve, key_file, issue):
    server = await serve(keys_file=key_file.path)
    await server.chat.Chat(CHAT)
    text = issue().text

    async def is_closed():
        try:
            await server.chat.Chat(CHAT)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAUTHENTICATED:
                raise
            return True
        return False

    await until(is_closed)
    await server.chat.Chat(CHAT, metadata=shown(text))


@pytest.mark.parametrize("damage", ["broken", "gone"])
async def test_a_key_file_that_breaks_or_vanishes_changes_nothing(serve, key_file, issue, damage, capfd):
    text = issue().text
    server = await serve(keys_file=key_file.path)
    content = key_file.path.read_text()
    if damage == "broken":
        key_file.path.write_text(content[:-20])
    else:
        key_file.path.unlink()
    await asyncio.sleep(1)
    assert await is_let_in(server, text)
    assert not await is_let_in(server, new_key_text())
    key_file.path.write_text(content)
    other = issue().text
    await until(lambda: is_let_in(server, other))


async def test_a_server_does_not_start_with_a_damaged_key_file(serve, key_file):
    key_file.path.write_text("{")
    with pytest.raises(Exception, match=r"keys\.json is damaged"):
        await serve(keys_file=key_file.path)


async def test_a_damaged_first_key_file_closes_a_running_server(serve, key_file):
    server = await serve(keys_file=key_file.path)
    await server.chat.Chat(CHAT)
    key_file.path.write_text("{broken")

    async def is_closed():
        try:
            await server.chat.Chat(CHAT)
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
        return False

    await until(is_closed)


async def test_wrong_keys_from_an_address_are_told_to_wait_and_right_ones_are_let_in(serve, key_file, issue):
    text = issue().text
    server = await serve(keys_file=key_file.path, max_failed_attempts=3)
    reasons = [(await refusal(server.chat.Chat(CHAT, metadata=shown(new_key_text()))))[1] for _ in range(5)]
    assert reasons == ["KEY_UNKNOWN"] * 3 + ["TOO_MANY_FAILED_ATTEMPTS"] * 2
    code, _, status = await refusal(server.chat.Chat(CHAT, metadata=shown(new_key_text())))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
    await server.chat.Chat(CHAT, metadata=shown(text))


def test_beyond_loopback_only_with_keys(key_file, issue):
    from palaver_server.app.wiring import refuse_careless_listening  # noqa: PLC0415

    settings = load_settings(engine="scripted", listen="0.0.0.0:0", keys_file=key_file.path)
    with pytest.raises(SettingsError, match="palaver keys create"):
        refuse_careless_listening(settings)
    issue()
    refuse_careless_listening(settings)
