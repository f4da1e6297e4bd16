"""What a program does with litellm. Nothing of litellm is changed but base URL, key and model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import litellm
from program import CALLING, KEY, MODEL, PLACED, URL, Place, failures, freed, run

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def asking(text: str = "one two three", *, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    known = {"model": f"openai/{model}", "api_base": f"{URL}/v1", "api_key": KEY, "max_retries": 0}
    return {**known, "messages": messages, **fields}


def whole() -> Any:
    answer = litellm.completion(**asking())
    return [answer.choices[0].message.content, answer.choices[0].finish_reason, answer.usage.completion_tokens]


def stream() -> Any:
    chunks = list(litellm.completion(**asking(stream=True, stream_options={"include_usage": True})))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return [text, len(chunks) > 3, chunks[-1].usage.completion_tokens]


async def asynchronous() -> Any:
    answer = await litellm.acompletion(**asking())
    chunks = [chunk async for chunk in await litellm.acompletion(**asking(stream=True))]
    return [answer.choices[0].message.content, "".join(chunk.choices[0].delta.content or "" for chunk in chunks)]


def tools() -> Any:
    asked = asking(CALLING, tools=[WEATHER])
    message = litellm.completion(**asked).choices[0].message
    (call,) = message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny in Oslo"}
    answer = litellm.completion(**{**asked, "messages": [*asked["messages"], message, result]})
    streamed = litellm.stream_chunk_builder(list(litellm.completion(**asked, stream=True))).choices[0].message
    return {
        "thought": message.reasoning_content,
        "called": [call.function.name, json.loads(call.function.arguments)],
        "said after": answer.choices[0].message.content,
        "streamed": json.loads(streamed.tool_calls[0].function.arguments),
    }


def structured() -> Any:
    answer = litellm.completion(**asking(PLACED, response_format=Place))
    return Place.model_validate_json(answer.choices[0].message.content).city


def errors() -> Any:
    return failures(
        lambda **fields: litellm.completion(**asking(**fields)),
        lambda **fields: list(litellm.completion(**asking(**fields, stream=True))),
    )


async def leaving() -> Any:
    async def ask(text: str, **fields: Any) -> Any:
        return await litellm.acompletion(**asking(text, **fields))

    async def begin(text: str) -> AsyncIterator[Any]:
        return await ask(text, stream=True)

    return await freed(ask, begin)


if __name__ == "__main__":
    run(whole, stream, asynchronous, tools, structured, errors, leaving)
