"""Where a conversation is rendered."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from palaver_server.core.tools import Tool, ToolCall
from palaver_server.engine.vllm.prompt.in_place import MAX_CHARACTERS, in_place, is_short, work_in_place
from tests.engine.conftest import say

LONG = "a" * MAX_CHARACTERS


@pytest.fixture
def executor() -> Any:
    with ThreadPoolExecutor(1) as executor:
        work_in_place(executor)
        yield executor


def test_work_is_done_at_once_where_that_is_wanted(executor: ThreadPoolExecutor) -> None:
    with in_place(True):
        done = executor.submit(threading.get_ident)

    assert done.done()
    assert done.result() == threading.get_ident()


def test_other_work_goes_to_a_thread(executor: ThreadPoolExecutor) -> None:
    with in_place(True), in_place(False):
        assert executor.submit(threading.get_ident).result() != threading.get_ident()
    assert executor.submit(threading.get_ident).result() != threading.get_ident()


def test_work_that_fails_says_so_to_whoever_waits_for_it(executor: ThreadPoolExecutor) -> None:
    with in_place(True):
        failed = executor.submit(int, "x")

    with pytest.raises(ValueError, match="invalid literal"):
        failed.result()


def test_all_of_a_conversation_counts() -> None:
    short = say("Hi", "Hello!", "How are you?")
    (first, *others) = short.messages

    assert is_short(short)
    assert not is_short(say(LONG, "b"))
    assert not is_short(replace(short, tools=(Tool("f", LONG),)))
    assert not is_short(replace(short, messages=(replace(first, reasoning=LONG), *others)))
    assert not is_short(replace(short, messages=(replace(first, tool_calls=(ToolCall("1", "f", LONG),)), *others)))


def test_what_a_template_makes_of_a_callers_arguments_is_nobodys_to_wait_for() -> None:
    assert not is_short(replace(say("Hi"), chat_template_arguments={"n": 10**9}))
