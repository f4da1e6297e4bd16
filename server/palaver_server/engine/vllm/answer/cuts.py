"""In which pieces an answer is put before vLLM's parsers.

Some of them, the older ones, are written for one token at a time and lose calls of which they are given more; for an
answer in one piece they have another way. Several tokens come together where the reader is slow, where a stream asks
for it, and where nobody reads before the end. A few can read nothing but a whole answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import structlog
from tokenizers.decoders import DecodeStream
from vllm.entrypoints.generate.base.protocol import DeltaFunctionCall, DeltaMessage, DeltaToolCall
from vllm.parser import Parser
from vllm.parser.abstract_parser import DelegatingParser
from vllm.renderers.chat_utils import make_tool_call_id
from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser
from vllm.tool_parsers.jamba_tool_parser import JambaToolParser
from vllm.tool_parsers.phi4mini_tool_parser import Phi4MiniJsonToolParser
from vllm.tool_parsers.xlam_tool_parser import xLAMToolParser

from palaver_server.engine.vllm.prompt.chat_request import VllmChatRequest

log = structlog.get_logger("palaver.engine")

CONTEXT_TOKENS = 8
"""Tokens before a piece that its first token's text may depend on."""

_ONLY_WHOLE = (Phi4MiniJsonToolParser, JambaToolParser, xLAMToolParser)
"""Of a stream the first tells nothing at all, no word either; the others tell arguments twice, and without quotes."""


def reads_only_whole(parser: Parser, chat: VllmChatRequest) -> bool:
    """Whether an answer can be read at its end alone. Demanded calls, and no calls, are read without these parsers."""
    return isinstance(parser.tool_parser, _ONLY_WHOLE) and chat.tool_choice == "auto"


def reads_single_tokens(parser: Parser) -> bool:
    """Whether a parser loses what it is not given token by token."""
    if not isinstance(parser, DelegatingParser):
        return False
    tools = parser.tool_parser
    return tools is not None and not parser._engine_based and not isinstance(tools, Hermes2ProToolParser)  # noqa: SLF001  # vLLM has no word for it


def has_whole_way(parser: Parser) -> bool:
    """Whether an answer in one piece is read in another way than a stream; the newer parsers of tools need none."""
    return parser.tool_parser is not None and not parser.tool_parser.engine_based_streaming


def whole(
    parser: Parser, text: str, token_ids: Sequence[int], chat: VllmChatRequest, prompt_token_ids: Sequence[int]
) -> DeltaMessage | None:
    """Read an answer in one piece; None where the parser fails, as some do at an answer that is cut off."""
    thoughts: str | None = None
    try:
        if isinstance(parser, DelegatingParser) and parser.is_reasoning_end(list(prompt_token_ids)):
            # The prompt rules thoughts out. In a stream vLLM heeds that; in one piece it takes all for thoughts.
            calls, speech = parser._extract_tool_calls(text, chat, enable_auto_tools=True)  # noqa: SLF001  # its second half
        else:
            thoughts, speech, calls = parser.parse(text, chat, enable_auto_tools=True, model_output_token_ids=token_ids)
    except Exception as error:  # noqa: BLE001  # of whatever kind comes with what a model may write
        log.info("parser_failed", error=type(error).__name__)  # its words may be the model's
        return None
    return DeltaMessage(
        reasoning=thoughts,
        content=speech,
        tool_calls=[
            DeltaToolCall(
                index=index,
                id=call.id or make_tool_call_id(),
                type="function",
                function=DeltaFunctionCall(name=call.name, arguments=call.arguments),
            )
            for index, call in enumerate(calls or ())
        ],
    )


def single_tokens(
    tokenizer: Any, text: str, token_ids: Sequence[int], before: Sequence[int], chat: VllmChatRequest
) -> Iterator[tuple[str, list[int]]]:
    """Part a piece into its tokens, each with its text; what vLLM has kept back or cut off is missing at the end.

    Args:
        tokenizer: the model's.
        text: what the tokens say.
        token_ids: the tokens.
        before: those before them.
        chat: says whether special tokens are part of the text.
    """
    stream = DecodeStream(ids=list(before[-CONTEXT_TOKENS:]), skip_special_tokens=bool(chat.skip_special_tokens))
    end = 0
    for place, token_id in enumerate(token_ids):
        begin, end = end, end + len(stream.step(tokenizer._tokenizer, token_id) or "")  # noqa: SLF001  # the fast tokenizer within
        yield text[begin:] if place == len(token_ids) - 1 else text[begin:end], [token_id]
