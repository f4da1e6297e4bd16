"""A server and a real Envoy in front of it, as ``palaver up`` runs them for a user, on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import psutil
import pytest
from click.testing import CliRunner

from palaver_server.cli import main

START_SECONDS = 60
FLAGS = ("--engine", "scripted", "--listen", "127.0.0.1:0", "--edge-listen", "127.0.0.1:0")
QUIET = ("--edge-status-listen", "127.0.0.1:0", "--log-format", "json", "--edge-workers", "1", "--grace", "5")


@dataclass
class Pair:
    """One ``palaver up``."""

    process: subprocess.Popen[str]
    state_dir: Path
    lines: list[str] = field(default_factory=list)
    """What server and Envoy have written to standard error."""

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT`` of the TLS port."""
        return str(self.event("edge listening")["address"])

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def status_url(self) -> str:
        """Of ``/ready`` and ``/metrics``, plaintext."""
        return f"http://{self.event('edge listening')['status_address']}"

    @property
    def direct(self) -> str:
        """The gRPC address without the edge."""
        return str(self.event("listening")["address"])

    @property
    def ca(self) -> Path:
        return self.state_dir / "tls" / "ca.crt"

    @property
    def ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def client(self, **options: Any) -> httpx.AsyncClient:
        """An HTTP client of the edge; close it."""
        options = {"http2": False, "timeout": 30, "trust_env": False, **options}
        return httpx.AsyncClient(base_url=self.url, verify=self.ssl_context, **options)

    def channel(self) -> grpc.aio.Channel:
        """A gRPC channel over TLS to the edge; close it."""
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        return grpc.aio.secure_channel(f"localhost:{self.port}", credentials, [("grpc.enable_http_proxy", 0)])

    def direct_channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.direct, [("grpc.enable_http_proxy", 0)])

    def events(self, name: str) -> list[dict[str, Any]]:
        """Every log line of that event, the edge's access lines (``edge call``) among them."""
        found = (json.loads(line) for line in list(self.lines) if line.startswith("{"))
        return [line for line in found if line["event"] == name]

    def event(self, name: str, seconds: float = START_SECONDS) -> dict[str, Any]:
        """The first log line of that event; waits for it."""
        return self.wait_for(lambda: next(iter(self.events(name)), None), f"no event {name!r}", seconds)

    def edge_call(self, request_id: str) -> dict[str, Any]:
        """The access line of one call; Envoy writes them in batches."""
        return self.wait_for(
            lambda: next((line for line in self.events("edge call") if line["request_id"] == request_id), None),
            f"no access line of {request_id}",
        )

    def wait_for(self, look: Callable[[], Any], failure: str, seconds: float = 30) -> Any:
        ends = time.monotonic() + seconds
        while not (found := look()):
            if time.monotonic() > ends or (self.process.poll() is not None and not look()):
                raise AssertionError(f"{failure}\n" + "\n".join(self.lines[-40:]))
            time.sleep(0.02)
        return found

    def envoy(self) -> psutil.Process:
        """Envoy's process."""
        return next(p for p in psutil.Process(self.process.pid).children(recursive=True) if p.name() == "envoy")

    def stop(self, seconds: float = 30) -> int:
        """Ask as Ctrl-C does, and give the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(seconds)


StartPair = Callable[..., Pair]


@contextlib.contextmanager
def running_pair(*flags: str, state_dir: Path | None = None, wait_for: str = "ready", **env: str) -> Iterator[Pair]:
    """Run a pair until the block ends; what is left of it then is killed."""
    folder = state_dir or Path(tempfile.mkdtemp(prefix="palaver-edge-"))  # short: a socket's path has 107 bytes
    process = subprocess.Popen(
        [sys.executable, "-m", "palaver_server", "up", *FLAGS, *QUIET, "--state-dir", str(folder), *flags],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | env,
        start_new_session=True,
    )
    pair = Pair(process, folder)

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            pair.lines.append(line.rstrip())  # others look at the list meanwhile

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    family: list[psutil.Process] = []
    try:
        if wait_for:
            pair.event(wait_for)
        yield pair
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
        process.kill()
        process.wait()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        reader.join(10)
        assert process.stderr is not None
        process.stderr.close()
        if state_dir is None:
            shutil.rmtree(folder, ignore_errors=True)


class Pairs:
    """Pairs that tests share: each is started once, when the first test asks for its flags, and ends with the session.

    A test that ends its pair, or needs an engine that nobody else uses, starts one of its own with ``start_pair``.
    """

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._running: dict[tuple[str, ...], Pair] = {}

    def __call__(self, *flags: str, wait_for: str = "ready") -> Pair:
        running = self._running.get(flags)
        if running is None or running.process.poll() is not None:
            running = self._running[flags] = self._stack.enter_context(running_pair(*flags, wait_for=wait_for))
        return running


@pytest.fixture(scope="session")
def shared_pair() -> Iterator[Pairs]:
    """Give the pair with some flags, such as ``shared_pair(*FAILING)``, to all who ask for it."""
    with contextlib.ExitStack() as stack:
        yield Pairs(stack)


ENDLESS = ("--scripted-tokens", "8000", "--scripted-interval", "0.05")
"""Nobody waits for the end of an answer."""
FAILING = ("--scripted-tokens", "9", "--scripted-fail-after", "3")
LOADING = ("--scripted-load", "3600")
NARROW = ("--max-concurrent-requests", "1", "--max-queued-requests", "0", "--scripted-interval", "0.3")
"""One answer at a time, and nobody waits."""
SILENT = ("--scripted-first", "2", "--edge-stream-idle", "1", "--event-stream-keepalive", "0.2")
"""The first word takes longer than the edge lets anybody be silent."""
NAMED = ("--scripted-interval", "0.02", "--served-model-name", "org/model")


@pytest.fixture
def pair(request: pytest.FixtureRequest, shared_pair: Pairs) -> Pair:
    """The pair of all tests, or the one with the flags of the module's ``PAIR_FLAGS``."""
    return shared_pair(*getattr(request.module, "PAIR_FLAGS", ()))


@pytest.fixture(scope="module")
def start_pair_of_module() -> Iterator[StartPair]:
    """Start pairs that end with the module."""
    with contextlib.ExitStack() as stack:
        yield lambda *flags, **options: stack.enter_context(running_pair(*flags, **options))


@pytest.fixture
def start_pair() -> Iterator[StartPair]:
    """Start pairs with flags of the test's own; all end with it."""
    with contextlib.ExitStack() as stack:
        yield lambda *flags, **options: stack.enter_context(running_pair(*flags, **options))


@pytest.fixture
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder with a short name: a socket's path has 107 bytes."""
    return tmp_path_factory.mktemp("s")


def keys(state_dir: Path, *arguments: str, env: dict[str, str] | None = None) -> str:
    """What `palaver keys` prints on standard output; in this process, which has it loaded."""
    done = CliRunner().invoke(
        main, ["keys", *arguments, "--state-dir", str(state_dir)], env=env, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


def new_key(state_dir: Path, client: str, *arguments: str, env: dict[str, str] | None = None) -> tuple[str, str]:
    """A key's text and id."""
    text = keys(state_dir, "create", "--client", client, *arguments, env=env)
    rows = json.loads(keys(state_dir, "list", "--json", env=env))
    return text, next(row["id"] for row in reversed(rows) if row["client"] == client)
