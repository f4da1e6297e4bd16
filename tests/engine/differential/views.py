"""One way to look at an answer, whichever server gave it and in whichever form."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from palaver.v1 import chat_service_pb2, choice_pb2, tool_call_pb2

Call = tuple[str, str]
"""Name, and arguments as they were written."""
_FINISH = {
    choice_pb2.FINISH_REASON_STOP: "stop",
    choice_pb2.FINISH_REASON_LENGTH: "length",
    choice_pb2.FINISH_REASON_TOOL_CALLS: "tool_calls",
    choice_pb2.FINISH_REASON_REPETITION: "repetition",
}


@dataclass
class Choice:
    """One choice of an answer."""

    text: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    logprobs: list[tuple[str, float]] = field(default_factory=list)
    """The chosen tokens'."""
    alternatives: list[list[tuple[str, float]]] = field(default_factory=list)


@dataclass
class View:
    """A whole answer."""

    choices: list[Choice]
    usage: tuple[int, int, int]
    """Tokens of the prompt, of the answer, of both."""


def of_document(document: dict[str, Any]) -> View:
    """An answer of OpenAI's protocol in one piece."""
    choices = []
    for choice in document["choices"]:
        message = choice["message"]
        view = Choice(
            text=message["content"] or "",
            reasoning=message.get("reasoning") or "",
            calls=[
                (call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()
            ],
            finish_reason=choice["finish_reason"],
            stop_reason=choice["stop_reason"],
        )
        _add_logprobs(view, choice["logprobs"])
        choices.append(view)
    return View(choices, _usage(document["usage"]))


def of_chunks(text: str) -> View:
    """A stream of OpenAI's protocol, with its usage at the end."""
    *data, done = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert done == "[DONE]"
    chunks = [json.loads(line) for line in data]
    choices: dict[int, Choice] = {}
    calls: dict[tuple[int, int], list[str]] = {}
    for piece in (choice for chunk in chunks for choice in chunk["choices"]):
        view, said = choices.setdefault(piece["index"], Choice()), piece["delta"]
        view.text += said.get("content") or ""
        view.reasoning += said.get("reasoning") or ""
        for call in said.get("tool_calls") or ():
            function = call.get("function") or {}
            whole = calls.setdefault((piece["index"], call["index"]), ["", ""])
            whole[0] += function.get("name") or ""
            whole[1] += function.get("arguments") or ""
        _add_logprobs(view, piece.get("logprobs"))
        view.finish_reason = piece.get("finish_reason") or view.finish_reason
        view.stop_reason = view.stop_reason if piece.get("stop_reason") is None else piece["stop_reason"]
    for (index, _), (name, arguments) in sorted(calls.items()):
        choices[index].calls.append((name, arguments))
    return View([choices[index] for index in sorted(choices)], _usage(chunks[-1]["usage"]))


def of_response(response: chat_service_pb2.ChatResponse) -> View:
    """A typed answer in one piece."""
    choices = []
    for choice in response.choices:
        message = choice.message
        view = Choice(
            text="".join(part.text for part in message.content),
            reasoning=message.reasoning,
            calls=[(call.name, call.arguments_json) for call in message.tool_calls],
        )
        _end(view, choice)
        _add_typed(view, choice.logprobs.tokens)
        choices.append(view)
    return View(choices, _typed_usage(response.usage))


def of_events(events: Iterable[chat_service_pb2.StreamChatResponse]) -> View:
    """A typed stream."""
    started, *deltas, finished = events
    assert started.HasField("started")
    choices = {end.index: Choice() for end in finished.finished.choices}
    calls: dict[tuple[int, int], tool_call_pb2.ToolCall] = {}
    for delta in (event.delta for event in deltas):
        view = choices[delta.choice_index]
        view.text += delta.text
        view.reasoning += delta.reasoning
        for piece in delta.tool_calls:
            whole = calls.setdefault((delta.choice_index, piece.index), tool_call_pb2.ToolCall())
            whole.name += piece.name
            whole.arguments_json += piece.arguments_json
        _add_typed(view, delta.logprobs.tokens)
    for (index, _), call in sorted(calls.items()):
        choices[index].calls.append((call.name, call.arguments_json))
    for end in finished.finished.choices:
        _end(choices[end.index], end)
    return View([choices[index] for index in sorted(choices)], _typed_usage(finished.finished.usage))


def _end(view: Choice, end: choice_pb2.Choice | choice_pb2.ChoiceFinish) -> None:
    view.finish_reason = _FINISH[end.finish_reason]
    if (kind := end.stop_match.WhichOneof("match")) is not None:
        view.stop_reason = getattr(end.stop_match, kind)


def _add_logprobs(view: Choice, said: dict[str, Any] | None) -> None:
    for place in (said or {}).get("content") or ():
        view.logprobs.append((place["token"], place["logprob"]))
        view.alternatives.append([(other["token"], other["logprob"]) for other in place["top_logprobs"]])


def _add_typed(view: Choice, tokens: Iterable[Any]) -> None:
    for place in tokens:
        view.logprobs.append((place.chosen.token, place.chosen.logprob))
        view.alternatives.append([(other.token, other.logprob) for other in place.alternatives])


def _usage(usage: dict[str, Any]) -> tuple[int, int, int]:
    return usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]


def _typed_usage(usage: Any) -> tuple[int, int, int]:
    return usage.prompt_token_count, usage.output_token_count, usage.total_token_count
