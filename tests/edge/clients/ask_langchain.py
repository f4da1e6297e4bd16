"""What a program does with langchain-openai. Nothing of LangChain is changed but base URL, key and model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from program import CALLING, KEY, MODEL, PLACED, URL, Place, failures, freed, run


@tool
def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def llm(**fields: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": MODEL, "base_url": f"{URL}/v1", "api_key": KEY, "max_retries": 0, **fields})


def whole() -> Any:
    answer = llm().invoke("one two three")
    return [answer.content, answer.response_metadata["finish_reason"], answer.usage_metadata["output_tokens"]]


def stream() -> Any:
    chunks = list(llm(stream_usage=True).stream("one two three"))
    (usage,) = (chunk.usage_metadata for chunk in chunks if chunk.usage_metadata)
    return ["".join(chunk.content for chunk in chunks), len(chunks) > 3, usage["output_tokens"]]


async def asynchronous() -> Any:
    answer = await llm().ainvoke("one two three")
    return [answer.content, "".join([chunk.content async for chunk in llm().astream("one two three")])]


def tools() -> Any:
    bound = llm().bind_tools([get_weather])
    asked = [HumanMessage(CALLING)]
    said = bound.invoke(asked)
    (call,) = said.tool_calls
    answer = bound.invoke([*asked, said, get_weather.invoke(call)])
    chunks = list(bound.stream(asked))
    return {
        "called": [call["name"], call["args"]],
        "said after": answer.content,
        "streamed": sum(chunks[1:], chunks[0]).tool_calls[0]["args"],
    }


def structured() -> Any:
    return llm().with_structured_output(Place).invoke(PLACED).city


def errors() -> Any:
    return failures(
        lambda text="a", **fields: llm(**fields).invoke(text),
        lambda text="a", **fields: list(llm(**fields).stream(text)),
    )


async def leaving() -> Any:
    async def ask(text: str, **fields: Any) -> Any:
        return await llm(**fields).ainvoke(text)

    async def begin(text: str) -> AsyncIterator[Any]:
        return llm().astream(text)

    return await freed(ask, begin)


if __name__ == "__main__":
    run(whole, stream, asynchronous, tools, structured, errors, leaving)
