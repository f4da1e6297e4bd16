"""The command line as a user has it: real processes, a real server behind them, a pseudo-terminal before them."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from palaver_server.cli import main

PALAVER = (sys.executable, "-m", "palaver_server")
# Ctrl-C reaches only those whose controlling terminal it is typed at.
_TAKE_THE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>])")


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment of its own: no setting of whoever runs the tests, and a home that ends with them."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PALAVER_", "XDG_", "HF_"))}
    return {**kept, "HOME": str(home), "TERM": "xterm-256color", "COLUMNS": "100"}


Palaver = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def palaver(environment: dict[str, str]) -> Palaver:
    """Run a command to its end: ``palaver("chat", "hi", input="...", PALAVER_ADDRESS=...)``."""

    def run(*arguments: str, input: str | bytes = "", **variables: str) -> subprocess.CompletedProcess[str]:  # noqa: A002
        data = input if isinstance(input, bytes) else input.encode()
        done = subprocess.run(
            [*PALAVER, *arguments],
            input=data,
            capture_output=True,
            env={**environment, **variables},
            timeout=60,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


Invoke = Callable[..., Result]


@pytest.fixture
def invoke(environment: dict[str, str]) -> Invoke:
    """Run a command in this process, which is faster: for what depends on arguments and answers alone."""

    def run(*arguments: str, input: str | bytes = "", **variables: str) -> Result:  # noqa: A002
        runner = CliRunner(env=dict.fromkeys(os.environ) | environment | variables)
        with mock.patch.dict(os.environ):  # --config sets a variable, for the settings to find
            result = runner.invoke(main, arguments, input=input, prog_name="palaver", terminal_width=100)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Start a command and talk with it while it runs; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **variables: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*PALAVER, *arguments],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
            env={**environment, **variables},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@dataclass
class Server:
    """A server process and what it has written to standard error."""

    process: subprocess.Popen[str]
    address: str
    lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            for line in self.process.stderr:
                with self.changed:
                    self.lines.append(line.rstrip())
                    self.changed.notify_all()

    def said(self, text: str, since: int = 0, seconds: float = 30) -> str:
        """The first line with a text, waited for."""
        with self.changed:
            assert self.changed.wait_for(lambda: any(text in line for line in self.lines[since:]), seconds), self.lines
            return next(line for line in self.lines[since:] if text in line)

    def calls(self, method: str, since: int = 0) -> list[dict[str, Any]]:
        """The access log of a method."""
        entries = [json.loads(line) for line in self.lines[since:] if line.startswith("{")]
        return [entry for entry in entries if entry.get("method", "").endswith(f"/{method}")]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.reader.join()


Serve = Callable[..., Server]


def _serve(environment: dict[str, str], folder: Path, *flags: str, wait_for: str) -> Server:
    address = f"unix:{folder}/{len(list(folder.iterdir()))}.sock"
    listen = () if "--listen" in flags else ("--listen", address)
    process = subprocess.Popen(
        [*PALAVER, "serve", "--engine", "scripted", "--grace", "0", *listen, *flags],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    server = Server(process, address)
    try:
        listening = json.loads(server.said('"event": "listening"'))
        server.address = listening["address"]
        server.said(wait_for)
    except BaseException:
        server.stop()
        raise
    return server


@pytest.fixture
def serve(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start servers with more flags; they end with the test."""
    folder = tmp_path_factory.mktemp("s")
    servers: list[Server] = []

    def start(*flags: str, wait_for: str = '"event": "ready"') -> Server:
        servers.append(_serve(environment, folder, *flags, wait_for=wait_for))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that says the question again, at once."""
    server = _serve(environment, tmp_path_factory.mktemp("s"), wait_for='"event": "ready"')
    yield server
    server.stop()


@pytest.fixture(scope="session")
def slow_server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose answers are long and slow: after 0.2 s 20 words a second, without end."""
    flags = ("--scripted-tokens", "8000", "--scripted-first", "0.2", "--scripted-interval", "0.05")
    server = _serve(environment, tmp_path_factory.mktemp("s"), *flags, wait_for='"event": "ready"')
    yield server
    server.stop()


@pytest.fixture(scope="session")
def failing_server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose answers fail after two words."""
    flags = ("--scripted-tokens", "9", "--scripted-fail-after", "2")
    server = _serve(environment, tmp_path_factory.mktemp("s"), *flags, wait_for='"event": "ready"')
    yield server
    server.stop()


@pytest.fixture(scope="session")
def tls_server(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[Server]:
    """A server that shows the certificate."""
    public, key = map(str, certificate)
    flags = ("--listen", "127.0.0.1:0", "--tls-cert", public, "--tls-key", key)
    server = _serve(environment, tmp_path_factory.mktemp("s"), *flags, wait_for='"event": "ready"')
    yield server
    server.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of this machine that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "palaver test")])
    now = dt.datetime.now(dt.UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(signed.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files[1].chmod(0o600)
    return files


class Terminal:
    """A program at a pseudo-terminal of 100 columns and 40 lines."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self._screen, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 100))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_THE_TERMINAL, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            start_new_session=True,
        )
        os.close(theirs)
        self.raw = ""
        self._taken = 0

    @property
    def text(self) -> str:
        """All that was shown, without the escape sequences."""
        return _ESCAPES.sub("", self.raw).replace("\r\n", "\n")

    def type(self, keys: str) -> None:
        """Press keys; ``\\r`` is Enter, ``\\x03`` Ctrl-C, ``\\x04`` Ctrl-D."""
        os.write(self._screen, keys.encode())

    def until(self, text: str, seconds: float = 20) -> str:
        """What was shown since the last call, up to and with a text, waited for."""
        ends = time.monotonic() + seconds
        while (place := self.text.find(text, self._taken)) < 0:
            assert self._more(ends), f"no {text!r} in {self.text[self._taken :]!r}"
        shown = self.text[self._taken : place + len(text)]
        self._taken = place + len(text)
        return shown

    def end(self, seconds: float = 20) -> int:
        """The exit code, waited for."""
        ends = time.monotonic() + seconds
        while self._more(ends):
            pass
        return self.process.wait(seconds)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._screen)

    def _more(self, ends: float) -> bool:
        ready, _, _ = select.select([self._screen], [], [], max(ends - time.monotonic(), 0))
        if not ready:
            return False
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # the program has ended
            return False
        self.raw += data.decode(errors="replace")
        if "\x1b[6n" in data.decode(errors="replace"):
            os.write(self._screen, b"\x1b[1;1R")  # asked where the cursor is, a terminal answers
        return True


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Open]:
    """Run a command at a terminal: ``terminal("chat", PALAVER_ADDRESS=...)``."""
    opened: list[Terminal] = []

    def run(*arguments: str, **variables: str) -> Terminal:
        opened.append(Terminal((*PALAVER, *arguments), {**environment, **variables}))
        return opened[-1]

    yield run
    for each in opened:
        each.close()
