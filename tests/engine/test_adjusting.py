"""Parsers that only adjust requests are made once for requests that do not differ for them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest


@pytest.fixture(scope="module")
def kind(tokenizer: Any) -> Any:
    """The parser of the tiny GLM's format, as vLLM composes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm.parser import ParserManager  # noqa: PLC0415
    return ParserManager.get_parser("glm45", "glm45", enable_auto_tools=True, tokenizer=tokenizer)


@pytest.fixture
def made(kind: Any, tokenizer: Any) -> Any:
    """Makes a parser for tools and the arguments of a template."""
    from palaver_server.engine.vllm.prompt.adjusting import remembering  # noqa: PLC0415

    remembered = remembering(kind)
    assert remembered.tool_parser_cls is kind.tool_parser_cls
    return lambda tools=None, **arguments: remembered(tokenizer, tools, chat_template_kwargs=arguments)


def chat_request(**fields: Any) -> Any:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest  # noqa: PLC0415

    return ChatCompletionRequest(messages=[{"role": "user", "content": "Hi"}], **fields)


def test_a_parser_of_the_same_arguments_is_the_same(made: Any, kind: Any) -> None:
    first = made(tools=None, enable_thinking=False, tokenize=False)
    assert type(first) is kind
    assert made(tools=[], enable_thinking=False, tokenize=False) is first
    assert made(enable_thinking=True, tokenize=False) is not first
    assert made(enable_thinking=0, tokenize=False) is not first, "0 is not False to who asks for a switch"


def test_tools_and_what_cannot_be_compared_get_a_parser_of_their_own(made: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    tools = chat_request(tools=[tool]).tools
    assert made(tools) is not made(tools)
    assert made(documents=[{"text": "x"}]) is not made(documents=[{"text": "x"}])


def test_a_caller_who_names_ever_new_arguments_keeps_nothing(made: Any) -> None:
    from palaver_server.engine.vllm.prompt.adjusting import MOST_KEPT  # noqa: PLC0415

    for number in range(MOST_KEPT):
        assert made(number=number) is made(number=number)
    assert made(number=-1) is not made(number=-1)
    assert made(number=0) is made(number=0)


def test_the_same_parser_adjusts_one_request_after_the_other(made: Any) -> None:
    for _ in range(2):
        request = chat_request()
        assert request.skip_special_tokens
        assert made().adjust_request(request) is request
        assert not request.skip_special_tokens
