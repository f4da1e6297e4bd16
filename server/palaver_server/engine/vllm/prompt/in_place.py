"""Short conversations are rendered where they are asked for, long ones in vLLM's thread.

vLLM hands each conversation to a thread, twice: for the template and for the tokenizer. While the event loop is busy,
that thread waits for the interpreter's lock, up to ``sys.getswitchinterval`` each time (5 ms), and the conversations
stand in line for it. A short one takes a fraction of a millisecond itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from palaver_server.core.generation import GenerationRequest

MAX_CHARACTERS = 2000
"""Some 500 tokens, which a tokenizer makes in less than a millisecond: no stream sees the event loop stand so long."""

_is_short: ContextVar[bool] = ContextVar("palaver_is_short", default=False)


def is_short(request: GenerationRequest) -> bool:
    """Tell whether a conversation may be rendered on the event loop.

    One with arguments for the template may not, nor one with a form: what a template makes of them is not known here.
    """
    if request.chat_template_arguments or request.response_format is not None:
        return False
    room = MAX_CHARACTERS
    for message in request.messages:
        room -= len(message.reasoning) + sum(len(part.text) for part in message.content)
        room -= sum(len(call.name) + len(call.arguments_json) for call in message.tool_calls)
    for tool in request.tools:
        room -= len(tool.name) + len(tool.description) + len(tool.parameters_json_schema)
    return room >= 0


@contextmanager
def in_place(is_wanted: bool) -> Iterator[None]:
    """Have what the body gives to an executor of ``work_in_place`` done at once, where that is wanted."""
    token = _is_short.set(is_wanted)
    try:
        yield
    finally:
        _is_short.reset(token)


def work_in_place(executor: Executor) -> None:
    """Let an executor do work in the thread that hands it over, within ``in_place``."""
    to_thread = executor.submit

    def submit(function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        if not _is_short.get():
            return to_thread(function, *args, **named)
        done: Future[Any] = Future()
        try:
            done.set_result(function(*args, **named))
        except Exception as error:  # noqa: BLE001  # goes to who waits for the future
            done.set_exception(error)
        return done

    executor.submit = submit  # type: ignore[method-assign]  # vLLM's functions hold this very object
