"""The short way for a piece of an answer that holds no mark: what vLLM's parser would make of it, told without it.

Most of an answer is such pieces, and the parser costs several times what all else about a piece does. Some parsers also
keep everything that was written, and copy it for every piece, so that a token costs the more the longer the answer is.

A piece goes the short way only where the parser holds nothing back and the piece could not change what it knows: the
parser then need not hear of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto, unique

from vllm.parser import Parser
from vllm.parser.abstract_parser import DelegatingParser
from vllm.parser.engine.adapters import ParserEngineReasoningAdapter
from vllm.parser.engine.parser_engine import ParserEngine
from vllm.parser.engine.parser_engine_config import ParserState
from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser

from palaver_server.engine.vllm.prompt.chat_request import VllmChatRequest


@unique
class Kind(Enum):
    """What a piece is, as a whole."""

    SPEECH = auto()
    THOUGHTS = auto()


Shortcut = Callable[[str, Sequence[int]], Kind | None]
"""Tells what the next piece is, by its text and its tokens; None for a piece that the parser has to read."""

_WAY_OF_A_PIECE: dict[type[Parser], tuple[str, ...]] = {
    ParserEngine: ("_preprocess_feed", "_feed", "_events_to_delta", "_strip_trailing_reasoning"),
    DelegatingParser: ("parse_delta", "_extract_tool_calls_streaming", "extract_reasoning_streaming"),
}
"""Methods that a piece goes through. A parser that has others may do with it what is not known here."""


def shortcut_of(parser: Parser, chat: VllmChatRequest) -> Shortcut:
    """Find the shortcut of one choice's parser; of a kind that is not known here there is none."""
    match parser:
        case ParserEngine():
            return _engine_shortcut(parser)
        case DelegatingParser():
            return _composition_shortcut(parser, chat)
        case _:
            return _none


def _is_known(parser: Parser, base: type[Parser]) -> bool:
    return all(getattr(type(parser), name) is getattr(base, name) for name in _WAY_OF_A_PIECE[base])


def _none(_text: str, _token_ids: Sequence[int]) -> Kind | None:
    return None


def _engine_shortcut(parser: ParserEngine) -> Shortcut:
    """For formats that vLLM describes by their marks: a piece without a mark is what the pieces before it were."""
    if not _is_known(parser, ParserEngine):
        return _none
    engine = parser._engine  # noqa: SLF001  # here and below: vLLM's parsers have no words for what they hold back
    lexer, scanner = engine._lexer, engine._scanner  # noqa: SLF001
    beginnings = lexer._literal_first_chars  # noqa: SLF001
    mark_ids = engine._resolved_token_ids.keys()  # noqa: SLF001

    def kind_of(text: str, token_ids: Sequence[int]) -> Kind | None:
        state = engine.state
        is_thought = state is ParserState.REASONING
        if not text or not (is_thought or state is ParserState.CONTENT):
            return None
        if lexer.buffer or scanner._deferred_terminals:  # noqa: SLF001
            return None
        if parser._deferred_content or parser._deferred_reasoning or not engine._ever_had_token_ids:  # noqa: SLF001
            return None
        # White space may be layout: before the first word of all, and after the last one of thoughts.
        may_be_layout = text[-1].isspace() if is_thought else not parser._content_has_nonws  # noqa: SLF001
        if may_be_layout or not beginnings.isdisjoint(text) or not mark_ids.isdisjoint(token_ids):
            return None
        return Kind.THOUGHTS if is_thought else Kind.SPEECH

    return kind_of


def _composition_shortcut(parser: DelegatingParser, chat: VllmChatRequest) -> Shortcut:
    """For two parsers in turn: one for thoughts, until they end for good, and one for calls."""
    if not _is_known(parser, DelegatingParser):
        return _none
    state = parser._stream_state  # noqa: SLF001
    reasoning, tools = parser.reasoning_parser, parser.tool_parser
    is_thought: Shortcut = _none
    if isinstance(reasoning, ParserEngineReasoningAdapter) and not _wants_it_all(reasoning):
        is_thought = _engine_shortcut(reasoning._parser_engine)  # noqa: SLF001
    # Where no call is to be read, speech passes as it is.
    is_only_speech = tools is None or (chat.tool_choice == "none" and not parser._engine_based)  # noqa: SLF001

    def kind_of(text: str, token_ids: Sequence[int]) -> Kind | None:
        if not text:
            return None
        if not state.reasoning_ended:
            return Kind.THOUGHTS if is_thought(text, token_ids) is Kind.THOUGHTS else None
        if is_only_speech:
            return Kind.SPEECH
        if type(tools) is Hermes2ProToolParser:
            # It tells by its length how much of the text it has passed on.
            holds_nothing = tools._sent_content_idx == len(state.previous_text) > 0  # noqa: SLF001
            if holds_nothing and not tools.prev_tool_call_arr and tools.tool_call_start_token[0] not in text:
                return Kind.SPEECH
        return None

    return kind_of


def _wants_it_all(reasoning: ParserEngineReasoningAdapter) -> bool:
    """Whether a parser makes something of all thoughts together, once an answer ends within them."""
    makes = type(reasoning._parser_engine).get_streaming_fallback_content  # noqa: SLF001
    return makes is not ParserEngine.get_streaming_fallback_content
