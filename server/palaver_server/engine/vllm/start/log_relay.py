"""Brings what an engine's child processes say into the server's log, and to those who watch the start.

A child sends its log records as JSON over a Unix socket in the engine's folder, and its standard output and error,
where libraries print past any logging, over a second connection as plain lines. So everything that an engine says comes
out in the server's own format, and the reason for a failed start, which vLLM tells in the child alone, is known here.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import socket
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from palaver_server.engine.vllm.start.environment import FOLDER_VARIABLE

SOCKET_NAME = "log"
RECORD_MARK = "\x1e"
"""Begins a line that is a record: the record separator of JSON text sequences, RFC 7464."""
OUTPUT_LOGGER = "vllm.output"
"""The logger of lines that were printed and not logged."""
CHUNK_BYTES = 65536
MAX_LINE_CHARACTERS = 65536
"""Of a longer line, pieces are relayed."""
LINE_END = re.compile(r"[\r\n]+")  # a progress bar ends its lines with \r


@dataclass(frozen=True, slots=True)
class ChildLine:
    """One thing that a child process said."""

    text: str
    process: str = ""
    """The process's name in multiprocessing, such as ``EngineCore``; empty for printed lines."""
    error: str | None = None
    """The exception that was logged with it: its type and message, without the traceback."""


Observer = Callable[[ChildLine], None]


class LogRelay:
    """Listens for the children of one engine. Observers are called in the relay's own threads."""

    def __init__(self, folder: Path, observers: tuple[Observer, ...]) -> None:
        self._observers = observers
        self._server = _Server(str(folder / SOCKET_NAME), self._serve)
        self.max_level = logging.CRITICAL
        """Records above it are logged at it: while an engine starts, its failure is told by whoever starts it."""

    def start(self) -> None:
        """Begin to listen."""
        threading.Thread(target=self._server.serve_forever, name="engine log", daemon=True).start()

    def drain(self, seconds: float) -> None:
        """Wait until every child has said its last, at most so long. Blocks: for use when the children have ended."""
        self._server.wait_idle(seconds)

    def close(self) -> None:
        """Stop listening."""
        # It looks twice a second whether it shall end, and whenever something happens at its socket.
        self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, connection: socket.socket) -> None:
        for line in _lines(connection):
            if line.startswith(RECORD_MARK):
                with suppress(ValueError, KeyError, TypeError):  # a child that was killed in the middle of a line
                    self._relay_record(json.loads(line[1:]))
            else:
                # Printed progress bars and warnings; what matters to an operator is logged.
                self._log(OUTPUT_LOGGER, logging.DEBUG, line)
                self._observe(ChildLine(line))

    def _relay_record(self, fields: dict[str, str | int]) -> None:
        name, level, text = str(fields["name"]), int(fields["level"]), str(fields["text"])
        error, trace = fields.get("error"), fields.get("trace")
        self._log(name, min(level, self.max_level), f"{text} ({error})" if error else text)
        if trace:
            self._log(name, logging.DEBUG, str(trace))
        self._observe(ChildLine(text, str(fields["process"]), str(error) if error else None))

    def _observe(self, line: ChildLine) -> None:
        for observer in self._observers:
            observer(line)

    @staticmethod
    def _log(name: str, level: int, text: str) -> None:
        logging.getLogger(name).log(level, "%s", text)


def install() -> None:
    """In a child process: send its log, and what is printed, to the server. Nothing happens outside an engine."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return
    path = Path(folder) / SOCKET_NAME
    with suppress(OSError):  # the server has ended, or takes no logs: what is printed stays where it was
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        os.dup2(connection.fileno(), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        os.dup2(connection.fileno(), sys.__stderr__.fileno() if sys.__stderr__ else 2)
        connection.close()
    root = logging.getLogger()
    root.handlers[:] = [_RecordSender(str(path), None)]
    root.setLevel(os.environ.get("VLLM_LOGGING_LEVEL", "INFO").upper())


class _RecordSender(logging.handlers.SocketHandler):
    """Sends records as JSON: unlike the pickles of its parent class, they cannot do anything where they arrive."""

    def makePickle(self, record: logging.LogRecord) -> bytes:  # noqa: N802  # the name is the standard library's
        fields: dict[str, str | int] = {
            "name": record.name,
            "level": record.levelno,
            "text": record.getMessage(),
            "process": record.processName or "",
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields["error"] = "".join(traceback.format_exception_only(record.exc_info[1])).strip()
            fields["trace"] = "".join(traceback.format_exception(record.exc_info[1]))
        return (RECORD_MARK + json.dumps(fields) + "\n").encode()


class _Server(socketserver.ThreadingUnixStreamServer):
    """A thread for each connection, counted so that the last words can be waited for."""

    daemon_threads = True

    def __init__(self, path: str, serve: Callable[[socket.socket], None]) -> None:
        self._path = path
        self._serve = serve
        self._open_count = 0
        self._closed = threading.Condition()
        super().__init__(path, socketserver.BaseRequestHandler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        with self._closed:
            self._open_count += 1
        super().process_request(request, client_address)

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        assert isinstance(request, socket.socket)  # noqa: S101  # the tuple is for datagrams
        self._serve(request)

    def close_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        super().close_request(request)
        with self._closed:
            self._open_count -= 1
            self._closed.notify_all()

    def wait_idle(self, seconds: float) -> None:
        # A child may have connected, spoken and ended before its connection is accepted. Connections are accepted in
        # their order: when one of our own has been, all before it have.
        with suppress(OSError), socket.socket(socket.AF_UNIX) as last:
            last.settimeout(seconds)
            last.connect(self._path)
            last.shutdown(socket.SHUT_WR)
            last.recv(1)
        with self._closed:
            self._closed.wait_for(lambda: self._open_count == 0, seconds)


def _lines(connection: socket.socket) -> Iterator[str]:
    rest = ""
    while chunk := _receive(connection):
        *lines, rest = LINE_END.split(rest + chunk.decode(errors="replace"))
        if len(rest) > MAX_LINE_CHARACTERS:
            lines.append(rest)
            rest = ""
        yield from (line for line in lines if line.strip())
    if rest.strip():
        yield rest


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(CHUNK_BYTES)
    except ConnectionError:
        return b""
