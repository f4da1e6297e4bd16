"""What a program does with OpenAI's SDK, one case each, for any server that speaks OpenAI's protocol.

``tests/edge`` runs each case through the real edge with the scripted engine and looks at what came; ``tests/engine``
runs it against palaver and against vLLM's own server on one engine, and compares field by field.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import openai
import pydantic


@dataclass(frozen=True)
class Side:
    """A server, as the SDK reaches it, and what to ask its model."""

    client: openai.AsyncOpenAI
    sync_client: openai.OpenAI
    model: str
    plain: str
    """A question with a short answer."""
    calling: str
    """A question that the model answers with a call of ``get_weather``."""
    placed: str
    """A question that the model can answer with a city in JSON."""
    tools: Sequence[Mapping[str, Any]]
    """What it may call: strict, for the SDK reads no other."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of every request."""

    def asking(self, text: str | None = None, **fields: Any) -> dict[str, Any]:
        """The fields of a request."""
        messages = [{"role": "user", "content": self.plain if text is None else text}]
        return {"model": self.model, "messages": messages, **self.fields, **fields}


@dataclass(frozen=True)
class Seen:
    """What a program got."""

    shapes: Any
    """JSON, of which the fields and their types are compared."""
    facts: dict[str, Any]
    """What is compared by value."""


Case = Callable[[Side], Awaitable[Seen]]


async def an_answer_in_one_piece(side: Side) -> Seen:
    answer = await asyncio.to_thread(side.sync_client.chat.completions.create, **side.asking())
    (choice,) = answer.choices
    return Seen(
        document(answer),
        {
            "text": choice.message.content,
            "finish_reason": choice.finish_reason,
            "completion_tokens": answer.usage.completion_tokens,
            "id of the answer begins with": answer.id.partition("-")[0],
            "names its request": bool(answer._request_id),
        },
    )


async def a_stream(side: Side) -> Seen:
    asked = side.asking(stream=True, stream_options={"include_usage": True})
    chunks = await asyncio.to_thread(lambda: list(side.sync_client.chat.completions.create(**asked)))
    return Seen(
        [document(chunk) for chunk in chunks],
        {
            "text": _text(chunks),
            "finish_reason": chunks[-2].choices[0].finish_reason,
            "choices of the last": chunks[-1].choices,
            "completion_tokens": chunks[-1].usage.completion_tokens,
            "ids": len({chunk.id for chunk in chunks}),
        },
    )


async def async_answers_and_streams(side: Side) -> Seen:
    answer = await side.client.chat.completions.create(**side.asking())
    stream = await side.client.chat.completions.create(**side.asking(), stream=True)
    chunks = [chunk async for chunk in stream]
    return Seen(
        [document(answer), *map(document, chunks)],
        {"whole": answer.choices[0].message.content, "streamed": _text(chunks)},
    )


async def the_streaming_helper_makes_events_and_the_whole(side: Side) -> Seen:
    asked = side.asking(stream_options={"include_usage": True})
    async with side.client.chat.completions.stream(**asked) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_completion()
    return Seen(
        document(final),
        {
            "kinds": sorted({event.type for event in events}),
            "deltas": "".join(event.delta for event in events if event.type == "content.delta"),
            "done": [event.content for event in events if event.type == "content.done"],
            "text": final.choices[0].message.content,
            "completion_tokens": final.usage.completion_tokens,
        },
    )


async def raw_and_streaming_responses(side: Side) -> Seen:
    raw = await side.client.chat.completions.with_raw_response.create(**side.asking())
    parsed = raw.parse()
    streaming = side.client.chat.completions.with_streaming_response
    async with streaming.create(**side.asking(), stream=True) as response:
        content_type = response.headers["content-type"]
        stream_id = response.headers.get("x-request-id")
        lines = [line async for line in response.iter_lines() if line]
    return Seen(
        document(parsed),
        {
            "content type": raw.headers["content-type"],
            "content type of the stream": content_type,
            "text": parsed.choices[0].message.content,
            "last line": lines[-1],
            "starts of lines": sorted({line.partition(" ")[0] for line in lines}),
            "request ids": bool(raw.request_id and stream_id),
        },
    )


async def models(side: Side) -> Seen:
    listed = [model async for model in side.client.models.list()]
    try:
        one = await asyncio.to_thread(side.sync_client.models.retrieve, side.model)  # the SDK escapes a slash
        retrieved = one.id
    except openai.NotFoundError:
        retrieved = None
    missing = await failure(side.client.models.retrieve("other/model"))
    return Seen(
        {"data": [document(model) for model in listed], "missing": missing.shapes},
        {"ids": [model.id for model in listed], "retrieved": retrieved, **missing.facts},
    )


async def a_path_that_does_not_exist(side: Side) -> Seen:
    return await failure(side.client.embeddings.create(model=side.model, input="x"))


async def many_threads_share_a_client(side: Side) -> Seen:
    create = side.sync_client.chat.completions.create
    texts = [f"this is number {number}" for number in range(24)]
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(8) as pool:
        calls = [loop.run_in_executor(pool, partial(create, **side.asking(text))) for text in texts]
        answers = await asyncio.gather(*calls)
    return Seen(
        [document(answer) for answer in answers],
        {"texts": [answer.choices[0].message.content for answer in answers], "ids": len({a.id for a in answers})},
    )


async def tools_are_called_and_answered_as_the_sdk_has_it(side: Side) -> Seen:
    asked = side.asking(side.calling, tools=side.tools)
    async with side.client.chat.completions.stream(**asked) as stream:
        done = [event async for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = await stream.get_final_completion()
    (choice,) = final.choices
    (call,) = choice.message.tool_calls
    turn = {"role": "assistant", "tool_calls": [call.model_dump(exclude={"function": {"parsed_arguments", "index"}})]}
    turn["tool_calls"][0].pop("index", None)
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    answer = await side.client.chat.completions.create(**{**asked, "messages": [*asked["messages"], turn, result]})
    return Seen(
        [document(final), document(answer)],
        {
            "calls": [(event.name, event.parsed_arguments) for event in done],
            "said before": (choice.message.content or "").strip(),
            "finish_reason": choice.finish_reason,
            "said after": answer.choices[0].message.content,
        },
    )


class Place(pydantic.BaseModel):
    """Where."""

    city: str = pydantic.Field(max_length=12)


async def an_answer_of_a_class_is_parsed(side: Side) -> Seen:
    parse = partial(side.sync_client.chat.completions.parse, **side.asking(side.placed), response_format=Place)
    answer = await asyncio.to_thread(parse)
    parsed = answer.choices[0].message.parsed
    return Seen(document(answer), {"parsed": None if parsed is None else parsed.model_dump()})


CASES: dict[str, Case] = {
    case.__name__: case
    for case in (
        *(an_answer_in_one_piece, a_stream, async_answers_and_streams),
        *(the_streaming_helper_makes_events_and_the_whole, raw_and_streaming_responses, models),
        *(a_path_that_does_not_exist, many_threads_share_a_client),
        *(tools_are_called_and_answered_as_the_sdk_has_it, an_answer_of_a_class_is_parsed),
    )
}

REFUSED: dict[str, dict[str, Any]] = {
    "a number out of range": {"temperature": 3},
    "a word for a number": {"temperature": "hot"},
    "a salt of the cache": {"extra_body": {"cache_salt": "x"}},
    "a template": {"extra_body": {"chat_template": "x"}},
    "store": {"store": True},
    "another model": {"model": "gpt-x"},
    "too long a prompt": {"messages": [{"role": "user", "content": "x " * 9000}]},
    "no messages": {"messages": []},
}
"""Fields of requests that palaver refuses, whole and streamed."""


async def refusal(side: Side, fields: Mapping[str, Any], *, streamed: bool) -> Seen:
    """What a program gets for such a request."""
    return await failure(side.client.chat.completions.create(**{**side.asking(), **fields}, stream=streamed))


async def failure(call: Awaitable[Any]) -> Seen:
    """The error that a call ends with, or that it does not."""
    try:
        answer = await call
    except openai.APIStatusError as error:
        return Seen(
            error.body,
            {
                "answered": False,
                "error": type(error).__name__,
                "status": error.status_code,
                **{name: getattr(error, name) for name in ("code", "param", "type")},
                "request id": bool(error.request_id),
                "message": isinstance(error.body, dict) and bool(error.body.get("message")),
            },
        )
    if isinstance(answer, openai.AsyncStream):
        await answer.close()
    return Seen(None, {"answered": True})


NOT_COMPARED = {
    "tokens_arrive_one_by_one": "looks at the clock, for which the engine must have a pace that is known",
    "overload_is_told_with_the_time_to_wait_and_the_sdk_waits": "vLLM's server queues without bound and refuses nobody",
    "a_failure_in_the_middle_of_a_stream_raises": "a fault in the engine would end it for both servers",
    "a_client_that_gives_up_frees_the_engine": "told by refusals of a full server, and vLLM's refuses nobody",
    "a_deadline_of_the_caller_ends_a_stream_with_an_error_event": "vLLM's server takes no deadline from its callers",
    "comments_keep_a_slow_first_token_alive": "vLLM's server sends no comments",
    "an_answer_that_does_not_fit_its_class_is_refused": "the scripted engine alone says what it is told to",
}
"""Tests of the edge with OpenAI's SDK that are not run against vLLM's server, and why."""


def document(answer: pydantic.BaseModel) -> Any:
    """What the server sent of an answer, as JSON."""
    return answer.model_dump(mode="json", exclude_unset=True, warnings=False)


def _text(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
