"""The audit log: what it tells of a call, over restarts and under load, and after a kill or a full disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading

import grpc
import pytest

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, content_part_pb2, message_pb2, role_pb2
from palaver_server.telemetry.audit.chain import AuditError, Keys, load_keys
from palaver_server.telemetry.audit.writer import BATCH_RECORDS, AuditWriter
from tests.telemetry.audit_log import lines_of, verdict_of, write

CANARY = "canary-1f0c9a"


def chat_request(text: str = CANARY, **fields) -> chat_service_pb2.ChatRequest:
    part = content_part_pb2.ContentPart(text=text)
    return chat_service_pb2.ChatRequest(
        messages=[message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])], **fields
    )


async def test_each_call_is_one_record_without_a_word_of_it(serve, tmp_path):
    serving = await serve(audit_dir=tmp_path)
    call = serving.chat.Chat(chat_request(user_id=CANARY), metadata=[("x-request-id", "id-1"), ("x-api-key", CANARY)])
    answer = await call
    async for _ in serving.chat.StreamChat(
        chat_service_pb2.StreamChatRequest(chat=chat_request()), metadata=[("x-request-id", "id-2")]
    ):
        pass
    with pytest.raises(grpc.aio.AioRpcError):
        await serving.chat.Chat(chat_request(model=CANARY), metadata=[("x-request-id", "id-3")])
    await serving.stop()
    assert verdict_of(tmp_path).is_whole
    files = list(tmp_path.glob("audit-*.jsonl"))
    assert CANARY.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert {path.stat().st_mode & 0o777 for path in [*files, tmp_path / "audit.key"]} == {0o600}
    records = {record["request_id"]: record for record in map(json.loads, lines_of(files[0]))}
    assert sorted(records) == ["id-1", "id-2", "id-3"]
    assert records["id-1"]["code"] == "OK"
    assert records["id-1"]["answer_id"] == answer.id
    assert records["id-1"]["output_tokens"] == 1
    assert records["id-1"]["client"] == "local"
    assert records["id-3"]["reason"] == "MODEL_NOT_FOUND"
    found = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "palaver_server", "audit", "query", "--dir", str(tmp_path), "--user", CANARY],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [json.loads(line)["request_id"] for line in found.stdout.splitlines()] == ["id-1"]
    # The same words in the same order have the same hash, and the key decides which.
    assert records["id-1"]["prompt_hash"] == records["id-2"]["prompt_hash"]
    assert records["id-1"]["answer_hash"] == records["id-2"]["answer_hash"]
    assert records["id-1"]["answer_hash"] == load_keys(tmp_path, may_create=False).hide(json.dumps([CANARY]).encode())
    assert records["id-1"]["answer_hash"] != Keys(b"x" * 32).hide(json.dumps([CANARY]).encode())


def test_a_log_goes_on_where_it_ended_over_files_and_restarts(tmp_path):
    for start in range(0, 90, 30):
        write(tmp_path, 30, first=start)
    found = verdict_of(tmp_path)
    assert found.is_whole
    assert (found.first_number, found.last_number, found.record_count) == (1, 90, 90)
    assert len(list(tmp_path.glob("audit-*.jsonl"))) > 3


def test_old_files_are_removed_in_their_time_and_the_log_says_where_it_begins(tmp_path):
    write(tmp_path, 60)
    old = sorted(tmp_path.glob("audit-*.jsonl"))[:3]
    for path in old:
        os.utime(path, (1, 1))
    write(tmp_path, 60, first=60)
    assert not any(path.exists() for path in old)
    found = verdict_of(tmp_path)
    assert found.is_whole, found.findings
    assert found.first_number > 1
    min(tmp_path.glob("audit-*.jsonl")).unlink()
    assert "were removed" in verdict_of(tmp_path).findings[0]


WRITE_UNTIL_KILLED = """
import sys, threading
from pathlib import Path
from palaver_server.telemetry.audit.chain import load_keys
from palaver_server.telemetry.audit.writer import AuditWriter
folder = Path(sys.argv[1])
writer = AuditWriter(folder, load_keys(folder, may_create=True), max_file_bytes=10**6, retention_days=1)
def add():
    for index in range(10**6):
        writer.add(lambda: {"kind": "call", "index": index, "text": "x" * 500})
        if index % 100 == 0:
            threading.Event().wait(0.002)
for _ in range(4):
    threading.Thread(target=add, daemon=True).start()
while writer.written_count < 10_000:
    threading.Event().wait(0.005)
print("many", flush=True)
threading.Event().wait()
"""


def test_a_killed_server_leaves_a_chain_whole_to_its_last_record(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", WRITE_UNTIL_KILLED, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"many\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = verdict_of(tmp_path)
    assert found.is_whole, found.findings
    assert found.record_count >= 10_000
    newest = max(tmp_path.glob("audit-*.jsonl"))
    if found.torn is None:  # it was killed between two records: break one as a kill does
        with newest.open("ab") as file:
            file.write(b'{"kind":"call","ti')
        found = verdict_of(tmp_path)
    assert found.is_whole
    assert newest.name in found.torn
    write(tmp_path, 5)
    after = verdict_of(tmp_path)
    assert after.is_whole
    assert after.torn is None
    assert after.record_count == found.record_count + 6  # five, and one that tells of the cut


def test_two_servers_do_not_write_one_log(tmp_path):
    keys = load_keys(tmp_path, may_create=True)
    writer = AuditWriter(tmp_path, keys, max_file_bytes=10**6, retention_days=1)
    with pytest.raises(AuditError, match="Another server"):
        AuditWriter(tmp_path, keys, max_file_bytes=10**6, retention_days=1)
    writer.close()


def test_a_key_that_others_can_read_is_refused(tmp_path):
    load_keys(tmp_path, may_create=True)
    (tmp_path / "audit.key").chmod(0o644)
    with pytest.raises(AuditError, match="chmod 600"):
        load_keys(tmp_path, may_create=False)


async def test_records_of_many_calls_at_once_are_all_there(serve, tmp_path):
    serving = await serve(audit_dir=tmp_path, audit_file_bytes=20_000, max_queued_requests=0, max_concurrent_requests=4)

    async def call() -> grpc.StatusCode:
        try:
            await serving.chat.Chat(chat_request("a b"))
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    codes = [code for _ in range(5) for code in await asyncio.gather(*(call() for _ in range(40)))]
    await serving.stop()
    found = verdict_of(tmp_path)
    assert found.is_whole
    assert found.record_count == len(codes) == 200
    lines = [json.loads(line) for path in tmp_path.glob("audit-*.jsonl") for line in lines_of(path)]
    assert sorted(line["code"] for line in lines) == sorted(code.name for code in codes)


def limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_what_a_full_disk_swallows_is_counted_to_the_record_and_the_log_says_so(tmp_path, capsys):
    writer = AuditWriter(tmp_path, load_keys(tmp_path, may_create=True), max_file_bytes=10**6, retention_days=1)
    given = 300
    limit_files(2000)
    try:
        for index in range(given):
            writer.add(lambda index=index: {"kind": "call", "index": index, "text": "x" * 500})
        while writer.written_count + writer.lost_count < given:
            threading.Event().wait(0.01)
    finally:
        limit_files(resource.RLIM_INFINITY)
    assert writer.lost_count > 0
    writer.add(lambda: {"kind": "call", "index": given})
    writer.close()
    found = verdict_of(tmp_path)
    assert found.is_whole, found.findings
    assert found.torn is None
    said = [json.loads(line) for path in tmp_path.glob("audit-*.jsonl") for line in lines_of(path)]
    kept = [record for record in said if record["kind"] == "call"]
    assert len(kept) == writer.written_count == given + 1 - writer.lost_count
    assert sum(record["lost"] for record in said if record["kind"] == "gap") == writer.lost_count
    assert "the audit log cannot be written" in capsys.readouterr().out


@pytest.mark.thorough
@pytest.mark.timeout(300)
async def test_ten_thousand_calls_at_once_and_a_kill_in_their_midst_leave_a_whole_log(tmp_path):
    audit, calls = tmp_path / "audit", 10_000
    command = [sys.executable, "-m", "palaver_server", "serve", "--engine", "scripted", "--listen", "127.0.0.1:0"]
    command += ["--audit-dir", str(audit), "--state-dir", str(tmp_path), "--log-format", "json"]
    server = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert server.stderr is not None
    address = ""
    async for line in server.stderr:
        if b'"event": "ready"' in line:
            address = json.loads(line)["address"]
            break
    answered = 0
    nobody = asyncio.create_task(server.stderr.read())  # else the pipe fills

    async def call(channel: grpc.aio.Channel) -> None:
        nonlocal answered
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)
        with contextlib.suppress(grpc.aio.AioRpcError):  # it was killed
            while True:
                await stub.Chat(chat_request("a b"))
                answered += 1

    async with grpc.aio.insecure_channel(address) as channel:
        callers = [asyncio.create_task(call(channel)) for _ in range(32)]
        while answered < calls:
            await asyncio.sleep(0.01)
        server.send_signal(signal.SIGKILL)
        await asyncio.gather(*callers, server.wait(), nobody)
    found = verdict_of(audit)
    assert found.is_whole, found.findings
    # A kill takes what waited to be written: a batch, and what had come meanwhile.
    assert answered - 2 * BATCH_RECORDS < found.record_count
    serving = AuditWriter(audit, load_keys(audit, may_create=False), max_file_bytes=10**6, retention_days=1)
    serving.close()
    after = verdict_of(audit)
    assert after.is_whole
    assert after.torn is None
    assert after.record_count == found.record_count + (found.torn is not None)
