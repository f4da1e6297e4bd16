"""Ctrl-C falls before or after the start of a call, never in between."""

from __future__ import annotations

import os
import queue
import signal
import threading

import pytest

from palaver_client import Client
from palaver_client._interrupt import interrupt_deferred


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class InterruptedAtTheStart:
    """A method of a stub, with a Ctrl-C between the start of its call and its return. Dropping the call ends none."""

    def __init__(self, method) -> None:
        self._method = method
        self._kept: list[object] = []

    def __call__(self, *arguments, **options):
        return self._interrupted(self._method(*arguments, **options))

    def future(self, *arguments, **options):
        return self._interrupted(self._method.future(*arguments, **options))

    def _interrupted(self, rpc):
        self._kept.append(rpc)
        interrupt()
        return rpc


@pytest.mark.parametrize("method", ["Chat", "StreamChat"])
def test_a_call_that_is_interrupted_while_it_starts_ends_on_the_server(fake, act, method):
    fake.will(act(hangs=True))
    with Client(fake.address) as client:
        stub = client._connected().chat
        setattr(stub, method, InterruptedAtTheStart(getattr(stub, method)))
        with pytest.raises(KeyboardInterrupt):
            client.chat("x") if method == "Chat" else list(client.stream("x"))
        try:
            received = fake.arrived.get(timeout=2)
        except queue.Empty:
            return  # it was ended before it left
        assert received.ended.wait(10)


def test_an_interrupt_comes_at_the_end_of_the_block():
    reached = False
    with pytest.raises(KeyboardInterrupt), interrupt_deferred():
        interrupt()
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_programs_own_handler_is_called_once_and_stays():
    came: list[int] = []

    def handler(number, _frame):
        came.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        with interrupt_deferred():
            interrupt()
            interrupt()
            assert came == []
        assert came == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_program_that_ignores_interrupts_goes_on_ignoring_them():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt_deferred():
            interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_leave_the_handlers_alone():
    seen: list[object] = []

    def run() -> None:
        with interrupt_deferred():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


def test_a_failure_in_the_block_is_not_lost():
    with pytest.raises(ZeroDivisionError), interrupt_deferred():
        _ = 1 / 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
