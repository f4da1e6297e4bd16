"""Whether the last call of an answer is whole.

vLLM's parsers do not tell. Where an answer ends within a call they complete its arguments as best they can, so that
``{"city": "Par`` becomes ``{"city": "Par"}``, and arguments that are not there yet are missing without a trace. Whoever
ran such a call would run what the model never meant.
"""

from __future__ import annotations

import json

from vllm.parser import Parser
from vllm.parser.abstract_parser import DelegatingParser
from vllm.parser.engine.adapters import ParserEngineToolAdapter
from vllm.parser.engine.events import SemanticEvent
from vllm.parser.engine.parser_engine import ParserEngine
from vllm.parser.engine.parser_engine_config import ParserState
from vllm.parser.engine.streaming_parser_engine import StreamingParserEngine

MAX_BRACES = 64
"""How many objects a call's name may stand in; each is tried."""
_DECODER = json.JSONDecoder()


class CallEnd:
    """Judges the end of one choice's last call."""

    def __init__(self, parser: Parser) -> None:
        self._state = parser._stream_state  # noqa: SLF001  # vLLM has no word for the text that was read
        engine = _engine(parser)
        # Arguments that are JSON in the text end with their brace, which needs no mark behind it, and may have none.
        self._marked = _MarkedEnd(engine) if engine is not None and engine.config.arg_converter is not None else None

    def is_cut_off(self, name: str, arguments: str, text: str, *, has_ended_by_itself: bool) -> bool:
        """Tell whether the call lacks its end.

        Args:
            name: the tool's.
            arguments: as the parser has told them.
            text: the answer's, where the parser keeps none because it was given it in one piece.
            has_ended_by_itself: whether it was the model that ended the answer.
        """
        if self._marked is not None and self._marked.has_read:
            return self._marked.is_open
        if has_ended_by_itself:
            return False
        return not arguments.rstrip().endswith("}") or not _is_whole(name, self._state.previous_text or text)


class _MarkedEnd:
    """Sees in which state vLLM's engine of a format comes to the end of an answer, before it closes what is open."""

    def __init__(self, engine: StreamingParserEngine) -> None:
        self._engine = engine
        self._finish = engine.finish
        self.is_open = False
        """Whether the answer ended within a call."""
        engine.finish = self._watched  # type: ignore[method-assign]

    @property
    def has_read(self) -> bool:
        """Whether calls were read by this engine; demanded ones may be read as plain JSON."""
        return self._engine.tool_index >= 0

    def _watched(self) -> list[SemanticEvent]:
        engine = self._engine
        if engine.config.tool_call_body_array:
            self.is_open |= engine._array_in_element  # noqa: SLF001  # vLLM has no word for it
        else:
            self.is_open |= engine.state in (ParserState.TOOL_NAME, ParserState.TOOL_ARGS)
        return self._finish()


def _engine(parser: Parser) -> StreamingParserEngine | None:
    match parser:
        case ParserEngine():
            return parser._engine  # noqa: SLF001  # here and below: vLLM has no word for it
        case DelegatingParser(tool_parser=ParserEngineToolAdapter() as tools):
            return tools._parser_engine._engine  # noqa: SLF001
        case _:
            return None


def _is_whole(name: str, text: str) -> bool:
    """Whether the last call is whole in a text where calls are JSON, name and all; true of other texts."""
    place = begin = text.rfind(json.dumps(name, ensure_ascii=False))
    if place < 0:
        return True
    for _ in range(MAX_BRACES):
        begin = text.rfind("{", 0, begin)
        if begin < 0:
            return False
        try:
            _, end = _DECODER.raw_decode(text, begin)
        except (ValueError, RecursionError):
            continue
        if end > place:
            return True
    return False
