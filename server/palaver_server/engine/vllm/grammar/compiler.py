"""The process that compiles forms before anybody else does, because some never end.

A schema of 13 KB can take twenty seconds, a grammar can take all memory, and the library offers no limit. So this
process, which the server starts once for an engine, loads the library and the model's vocabulary and then forks for
each form: the fork has a limit on its processor time and its memory, and is killed beyond them. A form costs a
millisecond more for that, and a hostile one costs nobody anything but its own fork.

It talks with its owner over a socket, in frames: four bytes of length, then JSON. First comes the vocabulary with the
limits; from then on each frame is a form to compile, answered with what is wrong with it, in the order in which they
are done. The socket ends with its owner, however that ends, and this process ends with the socket.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import Any, NoReturn

import xgrammar as xgr

from palaver_server.engine.vllm.grammar.form import Form, Kind
from palaver_server.engine.vllm.grammar.library import compile_form, sentence
from palaver_server.engine.vllm.grammar.schema import form_problem
from palaver_server.engine.vllm.grammar.walk import walk_problem
from palaver_server.engine.vllm.processes.names import take_name

LENGTH = struct.Struct(">I")
WALL_FACTOR = 4.0
"""A fork gets this many seconds for each of its processor seconds: the machine is shared."""
NICENESS = 5
"""Running answers come first."""
NAME = "FormCompiler"


@dataclass(slots=True)
class Fork:
    """One form that is being compiled."""

    job: int
    pid: int
    ends_at: float
    answer: bytearray = field(default_factory=bytearray)


class Compiler:
    """Compiles for one owner."""

    def __init__(self, owner: socket.socket, setup: dict[str, Any]) -> None:
        self._owner = owner
        self._vocabulary = xgr.TokenizerInfo.deserialize_json(setup["vocabulary"])
        self._any_whitespace: bool = setup["any_whitespace"]
        self._seconds: float = setup["seconds"]
        self._memory_bytes: int = setup["memory_bytes"]
        self._compiled_bytes: int = setup["compiled_bytes"]
        self._step_seconds: float = setup["step_seconds"]
        self._selector = selectors.DefaultSelector()
        self._forks: dict[int, Fork] = {}

    def run(self) -> None:
        """Compile until the owner is gone."""
        self._selector.register(self._owner, selectors.EVENT_READ)
        while True:
            ends = [fork.ends_at for fork in self._forks.values()]
            for key, _ in self._selector.select(max(0.0, min(ends) - time.monotonic()) if ends else None):
                if key.fileobj is not self._owner:
                    self._read(key.fd)
                elif (message := receive(self._owner)) is not None:
                    self._fork(message["job"], Form(Kind(message["kind"]), message["text"]))
                else:
                    return
            for fork in self._forks.values():
                if fork.ends_at <= time.monotonic():
                    os.kill(fork.pid, signal.SIGKILL)  # its pipe ends with it

    def end(self) -> None:
        """Leave no fork behind."""
        for fork in self._forks.values():
            os.kill(fork.pid, signal.SIGKILL)

    def _fork(self, job: int, form: Form) -> None:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._work(form, writing)
        os.close(writing)
        self._forks[reading] = Fork(job, pid, time.monotonic() + WALL_FACTOR * self._seconds)
        self._selector.register(reading, selectors.EVENT_READ)

    def _read(self, pipe: int) -> None:
        fork = self._forks[pipe]
        if piece := os.read(pipe, 1 << 16):
            fork.answer += piece
            return
        self._selector.unregister(pipe)
        os.close(pipe)
        del self._forks[pipe]
        _, status = os.waitpid(fork.pid, 0)
        send(self._owner, {"job": fork.job, "problem": self._problem(bytes(fork.answer), status)})

    def _problem(self, answer: bytes, status: int) -> str:
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            return answer.decode()
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGPROF, signal.SIGKILL):
            return (
                f"takes more than {self._seconds:g} seconds to compile; make it smaller: fewer alternatives, shorter "
                "bounds of repetitions and lengths"
            )
        return (
            f"takes more than {self._memory_bytes >> 20} MiB of memory to compile; make it smaller: fewer "
            "alternatives, shorter bounds of repetitions and lengths, less nesting"
        )

    def _work(self, form: Form, writing: int) -> NoReturn:
        """Compile in the fork, which ends here."""
        status = 1
        try:
            self._owner.close()
            os.nice(NICENESS)
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 2)  # the library warns there, in words that are the caller's
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
            resource.setrlimit(resource.RLIMIT_AS, (used + self._memory_bytes,) * 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.setitimer(signal.ITIMER_PROF, self._seconds)
            os.write(writing, self._try(form).encode("utf-8", "replace"))
            status = 0
        finally:
            os._exit(status)

    def _try(self, form: Form) -> str:
        if problem := form_problem(form):
            return problem
        try:
            compiled = compile_form(form, self._vocabulary, any_whitespace=self._any_whitespace)
        except MemoryError:
            raise
        except Exception as error:
            if "bad_alloc" in str(error):
                raise
            return f"cannot be compiled: {sentence(error)}"
        if compiled.memory_size_bytes > self._compiled_bytes:
            return (
                f"has {compiled.memory_size_bytes >> 20} MiB when it is compiled, and may have "
                f"{self._compiled_bytes >> 20}; make it smaller"
            )
        return walk_problem(compiled, self._step_seconds)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Wait for a frame; None when the other side is gone."""
    head = connection.recv(LENGTH.size, socket.MSG_WAITALL)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    body = connection.recv(length, socket.MSG_WAITALL)
    if len(body) < length:
        return None
    message: dict[str, Any] = json.loads(body)
    return message


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Send a frame."""
    body = json.dumps(message).encode()
    connection.sendall(LENGTH.pack(len(body)) + body)


def serve(owner: socket.socket) -> None:
    """Compile for the owner at the other end of the socket."""
    take_name(NAME)
    if (setup := receive(owner)) is None:
        return
    compiler = Compiler(owner, setup)
    gc.freeze()  # what there is now is shared with every fork as long as nobody touches it
    send(owner, {"job": -1, "problem": ""})
    try:
        compiler.run()
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        compiler.end()


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
