"""The same questions put to the model inside vLLM, through its chat rendering and its GLM parsers."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}

from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser import Parser, ParserManager
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

from tiny_glm_training.cases import CASES, TOOLS, Case, Message
from tiny_glm_training.check import CheckFailed

PARSERS: Final[dict[str, Any]] = {"tool_parser": "glm45", "reasoning_parser": "glm45", "enable_auto_tools": True}
LENGTH: Final = 2048


@dataclass(frozen=True)
class Parsed:
    """Reasoning, content and calls as vLLM's parsers see them."""

    reasoning: str
    content: str
    calls: tuple[tuple[str, str], ...]


class Served:
    """One engine with what vLLM's server puts around it."""

    def __init__(self, folder: Path, engine: AsyncLLM) -> None:
        self.folder = folder
        self.engine = engine
        self.number = 0

    def renderer(self, *, parsers: bool) -> OnlineRenderer:
        return OnlineRenderer(
            model_config=self.engine.model_config,
            renderer=self.engine.renderer,
            request_logger=None,
            chat_template=None,
            chat_template_content_format="auto",
            **PARSERS if parsers else {},
        )

    def request(self, case: Case, tool_choice: str) -> ChatCompletionRequest:
        tools = {"tools": TOOLS, "tool_choice": tool_choice} if case.tools else {}
        return ChatCompletionRequest(
            model="tiny-glm",
            messages=[as_sent(message) for message in case.messages],
            temperature=0,
            chat_template_kwargs={"enable_thinking": case.thinking},
            skip_special_tokens=False,
            **tools,
        )

    def parser(self, request: ChatCompletionRequest) -> Parser:
        made = ParserManager.get_parser(
            tool_parser_name="glm45",
            reasoning_parser_name="glm45",
            enable_auto_tools=True,
            model_name=str(self.folder),
            tokenizer=self.engine.renderer.tokenizer,
        )
        assert made is not None
        return made(self.engine.renderer.tokenizer, request.tools, chat_template_kwargs=request.chat_template_kwargs)

    async def write(self, case: Case, *, grammar: bool) -> tuple[str, Parsed, Parsed, str]:
        """The raw text, the stream's and the whole answer's parse, and why it ended.

        Without `grammar` the model writes freely; with it, vLLM lets it call nothing but what is offered.
        """
        asked = self.request(case, "auto")
        rendered = asked if grammar else self.request(case, "none")
        result = await self.renderer(parsers=grammar).render_chat(rendered)
        assert isinstance(result, tuple), result
        (prompt,) = result[1]
        params = rendered.to_sampling_params(120 if not case.stop else 700, {})
        params.output_kind = RequestOutputKind.DELTA
        params.skip_special_tokens = False
        streamed = self.parser(asked)
        ended = streamed.is_reasoning_end(prompt["prompt_token_ids"])
        self.number += 1
        text, ids, reason = "", [], ""
        deltas = []
        outputs = self.engine.generate(
            prompt,
            params,
            f"case-{self.number}",
            reasoning_ended=ended,
            reasoning_parser_kwargs={"chat_template_kwargs": asked.chat_template_kwargs},
        )
        async for output in outputs:
            piece = output.outputs[0]
            text, ids, reason = text + piece.text, ids + list(piece.token_ids), piece.finish_reason or reason
            deltas.append(
                streamed.parse_delta(
                    piece.text, list(piece.token_ids), asked, prompt["prompt_token_ids"], finished=output.finished
                )
            )
        reasoning, content, called = self.parser(asked).parse(
            text, asked, enable_auto_tools=True, model_output_token_ids=ids
        )
        whole = Parsed(reasoning or "", content or "", tuple((call.name, call.arguments) for call in called or ()))
        return text, joined(deltas), whole, reason


def as_sent(message: Message) -> Message:
    """The message with the arguments of past calls as text, which the API takes; templates are given mappings."""
    if "tool_calls" not in message:
        return message
    called = [
        call | {"function": call["function"] | {"arguments": json.dumps(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return message | {"tool_calls": called}


def joined(deltas: list[Any]) -> Parsed:
    """What a client puts together from a stream."""
    reasoning, content, calls = "", "", {}
    for delta in filter(None, deltas):
        reasoning += delta.reasoning or ""
        content += delta.content or ""
        for call in delta.tool_calls or ():
            name, arguments = calls.get(call.index, ("", ""))
            function = call.function
            calls[call.index] = (name + (function.name or ""), arguments + (function.arguments or ""))
    return Parsed(reasoning, content, tuple(calls.values()))


@asynccontextmanager
async def served(folder: Path, dtype: str) -> AsyncIterator[Served]:
    """A small engine that reads the model in one number type."""
    arguments = AsyncEngineArgs(
        model=str(folder),
        dtype=dtype,
        max_model_len=LENGTH,
        enforce_eager=True,
        kv_cache_memory_bytes=64 << 20,
        max_num_seqs=16,
        reasoning_parser="glm45",
    )
    engine = AsyncLLM.from_engine_args(arguments)
    try:
        yield Served(folder, engine)
    finally:
        engine.shutdown(timeout=20)


async def check_in_vllm(folder: Path, dtype: str, *, grammar: bool) -> None:
    """Prints what came out of each case. Raises CheckFailed when a free answer is not the promised one."""
    wrong = []
    async with served(folder, dtype) as model:
        answers = await asyncio.gather(*(model.write(case, grammar=grammar) for case in CASES))
        for case, (text, streamed, whole, reason) in zip(CASES, answers, strict=True):
            same = text == case.written or (not case.stop and case.written.startswith(text))
            print(f"{'ok   ' if same else 'OTHER'} {case.name} ({reason})\n      wrote  {text!r}")
            print(f"      stream {streamed}\n      whole  {whole}", flush=True)
            if not same and not grammar:
                wrong.append(case.name)
    if wrong:
        raise CheckFailed(f"in vLLM with {dtype} these answers differ: {', '.join(wrong)}")
