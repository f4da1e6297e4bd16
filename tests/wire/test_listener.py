"""Addresses a server listens at, and what happens to a second server that wants the same."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import grp
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from palaver_server.rpc.listener import ListenError, bind, is_loopback
from palaver_server.rpc.transport import ServerLimits, new_server
from palaver_server.rpc.unix_socket import UnixAccess


async def greet(request: bytes, _context: object) -> bytes:
    return b"hello " + request


@asynccontextmanager
async def serving(listen: str, access: UnixAccess | None = None) -> AsyncIterator[str]:
    server = new_server(ServerLimits())
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Greet": grpc.unary_unary_rpc_method_handler(greet)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Greeter", handlers)])
    bound = bind(server, listen, access=access)
    await server.start()
    try:
        async with asyncio.timeout(30):
            yield bound
    finally:
        await server.stop(None)


async def call(target: str) -> bytes:
    async with grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        greeting: Any = channel.unary_unary("/test.Greeter/Greet")
        return bytes(await greeting(b"you", timeout=10))


def listening(path: Path) -> socket.socket:
    """A socket of some other program."""
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(path))
    other.listen()
    return other


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no IPv6 loopback address")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", pytest.param("[::1]", marks=needs_ipv6)])
async def test_port_zero_gives_the_real_port(host: str) -> None:
    async with serving(f"{host}:0") as bound:
        assert bound.startswith(f"{host}:")
        assert int(bound.rpartition(":")[2]) > 0
        assert await call(bound) == b"hello you"


@needs_ipv6
async def test_a_host_name_stands_for_all_its_addresses() -> None:
    addresses = {str(found[4][0]) for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    async with serving("localhost:0") as bound:
        port = bound.rpartition(":")[2]
        for address in addresses:
            assert await call(f"[{address}]:{port}" if ":" in address else f"{address}:{port}") == b"hello you"


async def test_the_wildcard_listens_on_every_address() -> None:
    async with serving("0.0.0.0:0") as bound:
        assert await call(f"127.0.0.1:{bound.rpartition(':')[2]}") == b"hello you"


async def test_a_second_server_on_a_port_is_told_so_and_the_first_goes_on() -> None:
    async with serving("127.0.0.1:0") as bound:
        with pytest.raises(ListenError, match=f"^cannot listen on {bound}: another process listens there$"):
            bind(new_server(ServerLimits()), bound)
        for _ in range(20):  # with SO_REUSEPORT the other would get half of the connections
            assert await call(bound) == b"hello you"


async def test_a_port_is_refused_to_a_server_that_would_share_it() -> None:
    async with serving("127.0.0.1:0") as bound:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", int(bound.rpartition(":")[2])))


async def test_a_port_that_was_just_given_up_can_be_taken_again() -> None:
    async with serving("127.0.0.1:0") as bound:
        await call(bound)  # leaves a connection in TIME_WAIT
    async with serving(bound) as again:
        assert await call(again) == b"hello you"


@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        ("192.0.2.1:0", "this machine has no such address"),
        ("no-such-host.invalid:50051", "Name or service not known|failure in name resolution|No address"),
        ("x" * 300 + ":1", "no host name|too long|not known"),
    ],
)
async def test_an_address_of_another_machine_is_refused(listen: str, reason: str) -> None:
    with pytest.raises(ListenError, match=reason):
        bind(new_server(ServerLimits()), listen)


NO_ADDRESSES = [
    *("", "127.0.0.1", "50051", ":50051", "[]:50051", "[::1]", "::1:50051", "unix:", "unix"),
    *("127.0.0.1:", "127.0.0.1:http", "127.0.0.1:-1", "127.0.0.1:٣", "127.0.0.1:65536"),
]


@pytest.mark.parametrize("listen", NO_ADDRESSES)
async def test_what_is_no_address_is_refused_with_the_form_that_is_one(listen: str) -> None:
    with pytest.raises(ListenError, match=r"write HOST:PORT|above 65535"):
        bind(new_server(ServerLimits()), listen)
    with pytest.raises(ListenError):
        is_loopback(listen)


@pytest.mark.parametrize("name", ["socket", "a name with blanks", "100%41?x#y", "ü"])
async def test_a_unix_socket_answers_its_owner_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    async with serving(f"unix:{path}") as bound:
        assert bound == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        if name == "socket":
            assert await call(bound) == b"hello you"
    assert not path.exists()


async def test_a_unix_socket_is_private_from_its_first_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    change = Path.chmod

    def see_before_chmod(path: Path, mode: int) -> None:
        modes.append(stat.S_IMODE(path.stat().st_mode))
        change(path, mode)

    monkeypatch.setattr(Path, "chmod", see_before_chmod)
    before = os.umask(0)
    try:
        async with serving(f"unix:{tmp_path / 'socket'}"):
            assert modes == [0o700]
            assert os.umask(0) == 0
    finally:
        os.umask(before)


async def test_a_unix_socket_can_be_opened_to_a_group(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    group = grp.getgrgid(os.getgid()).gr_name
    async with serving(f"unix:{path}", UnixAccess(mode=0o660, group=group)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == os.getgid()


async def test_an_unknown_group_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="there is no group 'nobody-has-this'"):
        bind(new_server(ServerLimits()), f"unix:{tmp_path / 's'}", access=UnixAccess(group="nobody-has-this"))


async def test_a_relative_path_is_told_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with serving("unix:socket") as bound:
        assert bound == f"unix:{tmp_path / 'socket'}"
        assert await call(bound) == b"hello you"


async def test_a_second_server_on_a_unix_socket_is_told_so_and_the_first_goes_on(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path / 'socket'}"
    async with serving(listen):
        with pytest.raises(ListenError, match=f"^cannot listen on {listen}: another process listens there$"):
            bind(new_server(ServerLimits()), listen)
        assert await call(listen) == b"hello you"


async def test_the_socket_of_a_busy_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with listening(path) as other:
        other.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(10)]
        for client in waiting:
            client.setblocking(False)
        assert errno.EAGAIN in [client.connect_ex(str(path)) for client in waiting]  # its queue is full
        with pytest.raises(ListenError, match="another process listens there"):
            bind(new_server(ServerLimits()), f"unix:{path}")
        for client in waiting:
            client.close()
    assert path.is_socket()


ANOTHER_SERVER = """
import asyncio, sys
from palaver_server.rpc.listener import ListenError, bind
from palaver_server.rpc.transport import ServerLimits, new_server
async def main():
    server = new_server(ServerLimits())
    print("waiting", flush=True)
    sys.stdin.readline()
    try:
        bind(server, sys.argv[1])
    except ListenError as error:
        print(error, flush=True)
        return
    await server.start()
    print("listening", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@asynccontextmanager
async def another_process(
    listen: str,
) -> AsyncIterator[tuple[Callable[[], Awaitable[str]], asyncio.subprocess.Process]]:
    """A process that is about to listen, and what makes it do so and tells how it went."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ANOTHER_SERVER, listen, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout
    assert await stdout.readline() == b"waiting\n"

    async def go_on() -> str:
        stdin.write(b"\n")
        return (await stdout.readline()).decode().strip()

    try:
        yield go_on, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_socket_of_a_killed_server_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with another_process(f"unix:{path}") as (go_on, process):
        assert await go_on() == "listening"
        with pytest.raises(ListenError, match="another process listens there"):
            bind(new_server(ServerLimits()), f"unix:{path}")
        process.kill()
        await process.wait()
    assert path.is_socket()
    async with serving(f"unix:{path}") as bound:
        assert await call(bound) == b"hello you"


async def test_of_servers_that_start_at_once_one_gets_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listening(path).close()  # left behind, so that each is tempted to remove it
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(another_process(f"unix:{path}")) for _ in range(4)]
        outcomes = await asyncio.gather(*(go_on() for go_on, _ in others))
        in_use = f"cannot listen on unix:{path}: another process listens there"
        assert sorted(outcomes) == [in_use, in_use, in_use, "listening"]


async def test_a_server_waits_while_another_takes_a_socket_in_the_same_folder(tmp_path: Path) -> None:
    async with another_process(f"unix:{tmp_path / 'socket'}") as (go_on, _):
        folder = os.open(tmp_path, os.O_RDONLY)
        fcntl.flock(folder, fcntl.LOCK_EX)
        outcome = asyncio.ensure_future(go_on())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(outcome), 0.5)
        os.close(folder)
        assert await outcome == "listening"


async def test_a_file_that_is_no_socket_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(ListenError, match="a file that is no socket lies there"):
        bind(new_server(ServerLimits()), f"unix:{path}")
    assert path.read_text() == "mine"


async def test_a_socket_in_a_folder_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="No such file or directory"):
        bind(new_server(ServerLimits()), f"unix:{tmp_path / 'missing' / 'socket'}")


async def test_a_path_too_long_for_a_socket_is_refused_with_the_length_allowed(tmp_path: Path) -> None:
    fits = tmp_path / ("x" * (107 - len(str(tmp_path)) - 1))
    async with serving(f"unix:{fits}"):
        assert fits.is_socket()
    with pytest.raises(ListenError, match="at most 107 bytes"):
        bind(new_server(ServerLimits()), f"unix:{fits}x")


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:50051", True),
        ("127.8.9.10:0", True),
        ("[::1]:50051", True),
        ("localhost:50051", True),
        ("unix:/run/palaver.sock", True),
        ("0.0.0.0:50051", False),
        ("[::]:50051", False),
        ("192.0.2.1:50051", False),
        ("[2001:db8::1]:50051", False),
    ],
)
def test_loopback_is_what_this_machine_alone_reaches(listen: str, *, expected: bool) -> None:
    assert is_loopback(listen) is expected
