"""The stage that reads thoughts and tool calls out of a model's text, with vLLM's parser of the model's format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from vllm.entrypoints.generate.base.protocol import DeltaMessage
from vllm.parser import Parser

from palaver_server.core.events import Delta
from palaver_server.core.logprobs import TokenLogprob
from palaver_server.core.tools import ToolCallDelta
from palaver_server.engine.tool_judge import ToolJudge
from palaver_server.engine.vllm.answer import cuts
from palaver_server.engine.vllm.answer.call_end import CallEnd
from palaver_server.engine.vllm.answer.collector import Output
from palaver_server.engine.vllm.answer.delta_stage import ConvertLogprobs
from palaver_server.engine.vllm.answer.shortcut import Kind, shortcut_of
from palaver_server.engine.vllm.answer.text import SpeechTrim, ThoughtTrim
from palaver_server.engine.vllm.prompt.chat_request import VllmChatRequest


@dataclass(frozen=True, slots=True)
class Reading:
    """What one request's answers are read with."""

    chat: VllmChatRequest
    prompt_token_ids: Sequence[int]
    judge: ToolJudge
    has_thoughts: bool = True
    """Whether the answer carries the thoughts."""
    max_calls: int | None = None
    """How many calls are kept."""


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


class ParsedStage:
    """Stands where ``DeltaStage`` does, for a model whose format is known.

    A unary answer is fed as one output, and read in the same way as a stream by all parsers that can (``cuts``).
    """

    def __init__(
        self,
        choice_index: int,
        parser: Parser,
        reading: Reading,
        convert_logprobs: ConvertLogprobs | None = None,
        *,
        has_token_ids: bool = False,
    ) -> None:
        self._choice_index = choice_index
        self._parser = parser
        self._shortcut = shortcut_of(parser, reading.chat)
        self._reads_single_tokens = cuts.reads_single_tokens(parser)
        self._reads_only_whole = cuts.reads_only_whole(parser, reading.chat)
        self._unread_text = ""
        self._reading = reading
        self._prompt_token_ids = list(reading.prompt_token_ids)
        self._convert_logprobs = convert_logprobs
        self._has_token_ids = has_token_ids
        self._has_details = has_token_ids or convert_logprobs is not None
        self._speech = SpeechTrim()
        self._thoughts = ThoughtTrim()
        self._calls: dict[int, _Call] = {}
        self._call_end = CallEnd(parser)
        self._held_token_count = 0
        self._held_logprobs: tuple[TokenLogprob, ...] = ()
        self._held_token_ids: tuple[int, ...] = ()
        self._token_ids: list[int] = []
        self._plain_thought_count = 0
        self.token_count = 0
        """Tokens of the choice so far, those that show as no text included."""

    @property
    def has_calls(self) -> bool:
        """Whether the model has called a tool."""
        return bool(self._calls)

    @property
    def reasoning_token_count(self) -> int:
        """Tokens of thought so far."""
        return self._parser.count_reasoning_tokens(self._token_ids) + self._plain_thought_count

    def feed(self, completion: Output) -> Delta | None:
        """Read an output; None while it shows as nothing."""
        token_ids = completion.token_ids
        self.token_count += len(token_ids)
        self._held_token_count += len(token_ids)
        may_be_short = completion.finish_reason is None and not self._reads_only_whole
        kind = self._shortcut(completion.text, token_ids) if may_be_short else None
        if kind is None:
            return self._parse(completion, list(token_ids))
        if self._has_details:
            self._hold_details(completion)
        text = thoughts = ""
        if kind is Kind.SPEECH:
            text = self._speech.feed(completion.text)
        else:
            self._plain_thought_count += len(token_ids)
            thoughts = self._thoughts.feed(completion.text) if self._reading.has_thoughts else ""
        return self._delta(thoughts, text, ()) if text or thoughts else None

    def _parse(self, completion: Output, token_ids: list[int]) -> Delta | None:
        """Read what the shortcut does not know."""
        is_last = completion.finish_reason is not None
        thoughts, text, calls = "", "", list[ToolCallDelta]()
        for message in self._messages(completion.text, token_ids, is_last=is_last):
            thought, said, called = self._read(message)
            thoughts, text, calls = thoughts + thought, text + said, calls + called
        self._token_ids += token_ids
        self._hold_details(completion)
        if is_last:
            text += self._speech.flush()
            calls += self._last_verdict(completion)
        if not (thoughts or text or calls or (is_last and (self._held_logprobs or self._held_token_ids))):
            return None
        return self._delta(thoughts, text, calls)

    def _messages(self, text: str, token_ids: list[int], *, is_last: bool) -> Iterator[DeltaMessage]:
        """Have the parser read, in pieces that it can take."""
        parser, chat = self._parser, self._reading.chat
        if self._reads_only_whole:
            self._unread_text += text
            if is_last:
                text, token_ids = self._unread_text, [*self._token_ids, *token_ids]
                message = cuts.whole(parser, text, token_ids, chat, self._prompt_token_ids)
                yield message or DeltaMessage(content=text)
            return
        pieces: Iterable[tuple[str, list[int]]] = [(text, token_ids)]
        if self._reads_single_tokens and len(token_ids) > 1:
            if is_last and self.token_count == len(token_ids) and cuts.has_whole_way(parser):
                message = cuts.whole(parser, text, token_ids, chat, self._prompt_token_ids)
                if message is not None:
                    yield message
                    return
            pieces = cuts.single_tokens(parser.model_tokenizer, text, token_ids, self._token_ids, chat)
        left = len(token_ids)
        for piece, ids in pieces:
            left -= len(ids)
            message = parser.parse_delta(piece, ids, chat, self._prompt_token_ids, finished=is_last and not left)
            if message is not None:
                yield message

    def _read(self, message: DeltaMessage) -> tuple[str, str, list[ToolCallDelta]]:
        thoughts = self._thoughts.feed(message.reasoning) if message.reasoning else ""
        text = self._speech.feed(message.content) if message.content else ""
        calls = [piece for call in message.tool_calls or () for piece in self._call(call)]
        return thoughts if self._reading.has_thoughts else "", text, calls

    def _call(self, piece: Any) -> list[ToolCallDelta]:
        limit = self._reading.max_calls
        if limit is not None and piece.index >= limit:
            return []
        told: list[ToolCallDelta] = []
        name = (piece.function.name if piece.function else None) or ""
        arguments = (piece.function.arguments if piece.function else None) or ""
        call = self._calls.get(piece.index)
        if call is None:
            told += self._verdict(is_cut_off=False)
            self._speech.call()
            call = self._calls[piece.index] = _Call(piece.id or "", name)
            told.append(ToolCallDelta(piece.index, call.id, call.name, arguments))
        elif arguments:
            told.append(ToolCallDelta(piece.index, arguments_json=arguments))
        call.arguments.append(arguments)
        return told

    def _last_verdict(self, completion: Output) -> list[ToolCallDelta]:
        if not self._calls:
            return []
        _, call = max(self._calls.items())
        has_ended_by_itself = completion.finish_reason == "stop" and not isinstance(completion.stop_reason, str)
        return self._verdict(
            is_cut_off=self._call_end.is_cut_off(
                call.name,
                "".join(call.arguments),
                self._unread_text or completion.text,
                has_ended_by_itself=has_ended_by_itself,
            )
        )

    def _verdict(self, *, is_cut_off: bool) -> list[ToolCallDelta]:
        """Tell the state of the last call, if there is one."""
        if not self._calls:
            return []
        index, call = max(self._calls.items())
        state, problem = self._reading.judge.judge(call.name, "".join(call.arguments), is_cut_off=is_cut_off)
        return [ToolCallDelta(index, state=state, problem=problem)]

    def _hold_details(self, completion: Output) -> None:
        if self._convert_logprobs is not None:
            self._held_logprobs += self._convert_logprobs(completion)
        if self._has_token_ids:
            self._held_token_ids += tuple(completion.token_ids)

    def _delta(self, thoughts: str, text: str, calls: Sequence[ToolCallDelta]) -> Delta:
        delta = Delta(
            text,
            self._held_token_count,
            self._choice_index,
            reasoning=thoughts,
            tool_calls=tuple(calls),
            logprobs=self._held_logprobs,
            token_ids=self._held_token_ids,
        )
        self._held_token_count, self._held_logprobs, self._held_token_ids = 0, (), ()
        return delta
