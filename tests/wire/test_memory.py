"""What a thousand readers who do not read cost the server."""

from __future__ import annotations

import asyncio
import sys

import grpc
import psutil

from palaver.v1 import chat_service_pb2, chat_service_pb2_grpc, content_part_pb2, message_pb2, role_pb2

STREAMS = 1000
BOUND_MIB = 100
"""Measured: about 20 MiB at 1,000 streams."""


async def listening_line(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async for line in process.stderr:
        if line.startswith(b"Ready"):
            return line.decode().split(" at ")[1].strip()
    raise AssertionError("the server ended")


async def test_a_thousand_slow_readers_cost_bounded_memory(tmp_path, capsys):
    socket = f"unix:{tmp_path}/s"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "palaver_server", "serve", "--engine", "scripted", "--listen", socket),
        *("--scripted-tokens", "1000000", "--max-concurrent-requests", str(STREAMS), "--log-level", "error"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await listening_line(process)
        server = psutil.Process(process.pid)
        part = content_part_pb2.ContentPart(text="hi")
        message = message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])
        request = chat_service_pb2.StreamChatRequest(chat=chat_service_pb2.ChatRequest(messages=[message]))
        before = server.memory_info().rss
        # Small windows: the writers soon stand still. What a larger window holds lies with the client, not with us.
        windows = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
        async with grpc.aio.insecure_channel(socket, options=windows) as channel:
            stub = chat_service_pb2_grpc.ChatServiceStub(channel)
            calls = [stub.StreamChat(request) for _ in range(STREAMS)]
            for call in calls:
                assert (await call.read()).WhichOneof("event") == "started"
            # The writers stand still once the windows are full; then the memory does not grow any more.
            seen = [server.memory_info().rss]
            async with asyncio.timeout(60):
                while len(seen) < 6 or seen[-1] - seen[-6] > 1024**2:
                    await asyncio.sleep(0.5)
                    seen.append(server.memory_info().rss)
            busy = server.cpu_percent(interval=0.5)
            grown_mib = (seen[-1] - before) / 1024**2
            with capsys.disabled():
                each = grown_mib * 1024 / STREAMS
                print(f"\n{STREAMS} slow readers: {grown_mib:.0f} MiB more, {each:.0f} KiB each")  # noqa: T201  # a figure
            assert grown_mib < BOUND_MIB
            assert busy < 50, "a writer that waits for its reader must not spin"
            for call in calls:
                call.cancel()
    finally:
        process.terminate()
        assert await process.wait() == 0
