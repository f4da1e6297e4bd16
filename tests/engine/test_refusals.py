"""Wrong requests get one error that names the field, in palaver's words."""

from __future__ import annotations

import asyncio
import copy
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import CONTEXT_LENGTH, say

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

BAD_VALUES = [
    ({"temperature": -0.1}, "temperature", "from 0 to 2"),
    ({"temperature": 2.1}, "temperature", "from 0 to 2"),
    ({"temperature": float("nan")}, "temperature", "from 0 to 2"),
    ({"top_p": -0.1}, "top_p", "from 0"),
    ({"top_p": 1.1}, "top_p", "to 1"),
    ({"top_k": -2}, "top_k", "at least 1"),
    ({"min_p": -0.1}, "min_p", "from 0 to 1"),
    ({"min_p": 1.1}, "min_p", "from 0 to 1"),
    ({"presence_penalty": 2.1}, "presence_penalty", "from -2 to 2"),
    ({"frequency_penalty": -2.1}, "frequency_penalty", "from -2 to 2"),
    ({"repetition_penalty": 0.0}, "repetition_penalty", "over 0"),
    ({"repetition_penalty": float("inf")}, "repetition_penalty", "finite"),
    ({"stop_sequences": ("",)}, "stop_sequences", "not empty"),
    ({"seed": 2**63}, "seed", "64 bits"),
    ({"max_output_tokens": 0}, "max_output_tokens", "at least 1"),
    ({"max_output_tokens": -1}, "max_output_tokens", "at least 1"),
    ({"max_output_tokens": CONTEXT_LENGTH + 1}, "max_output_tokens", f"at most {CONTEXT_LENGTH}"),
]


@pytest.mark.parametrize(("options", "field", "rule"), BAD_VALUES, ids=lambda value: str(value)[:40])
async def test_a_bad_value_is_refused_by_its_field(
    engine: VllmEngine, options: dict[str, Any], field: str, rule: str
) -> None:
    with pytest.raises(PalaverError) as refused:
        await engine.prepare(say("Hi!", prefix="chat.", **options))

    (violation,) = refused.value.violations
    assert refused.value.reason is Reason.INVALID_FIELD
    assert violation.field == f"chat.options.{field}"
    assert rule in violation.description
    assert "vllm" not in refused.value.message.lower()
    assert engine.running_count == 0


async def test_text_that_is_no_unicode_is_refused(engine: VllmEngine) -> None:
    with pytest.raises(PalaverError) as refused:
        await engine.prepare(say("half a surrogate: \ud83d"))

    assert refused.value.reason is Reason.INVALID_FIELD
    assert refused.value.violations[0].field == "messages"


@pytest.mark.parametrize("words", [CONTEXT_LENGTH, 5 * CONTEXT_LENGTH])
async def test_a_conversation_beyond_the_context_is_refused_with_its_length(engine: VllmEngine, words: int) -> None:
    request = say("word " * words, prefix="chat.")
    counted = (await engine.count_tokens(request)).prompt_token_count

    with pytest.raises(PalaverError) as refused:
        await engine.prepare(request)

    assert counted > words
    assert refused.value.reason is Reason.PROMPT_TOO_LONG
    assert refused.value.violations[0].field == "chat.messages"
    assert refused.value.metadata == {"prompt_token_count": str(counted), "context_length": str(CONTEXT_LENGTH)}
    assert str(counted) in refused.value.message


async def test_a_conversation_that_leaves_room_for_one_token_is_answered(engine: VllmEngine) -> None:
    spare = CONTEXT_LENGTH - (await engine.count_tokens(say(""))).prompt_token_count
    # One " a" is one token of this model.
    assert (await engine.count_tokens(say(" a" * (spare - 1)))).prompt_token_count == CONTEXT_LENGTH - 1

    assert (await engine.prepare(say(" a" * (spare - 1)))).max_output_tokens == 1
    with pytest.raises(PalaverError) as refused:
        await engine.prepare(say(" a" * spare))
    assert refused.value.reason is Reason.PROMPT_TOO_LONG


async def test_what_a_chat_template_says_reaches_the_caller(engine: VllmEngine, model: Path) -> None:
    from palaver_server.engine.vllm.answer.parsers import ParserNames  # noqa: PLC0415
    from palaver_server.engine.vllm.arguments import parse  # noqa: PLC0415
    from palaver_server.engine.vllm.prompt.rendering import Rendering  # noqa: PLC0415  # it imports vLLM

    template = (
        "{% if messages|length > 1 and messages[1]['role'] == 'assistant' %}"
        "{{ raise_exception('Conversation roles must alternate') }}{% endif %}hello"
    )
    runtime = engine._loaded()
    strict = Rendering(runtime.llm, replace(parse(str(model), "m", []), chat_template=template), ParserNames())

    with pytest.raises(PalaverError) as refused:
        await strict.render(say("Hi!", "Hello!"), GenerationOptions(), {})

    assert refused.value.reason is Reason.INVALID_FIELD
    assert refused.value.violations[0].field == "messages"
    assert refused.value.violations[0].description.endswith("refuses them: Conversation roles must alternate")


async def test_a_broken_chat_template_shows_none_of_its_insides(engine: VllmEngine, model: Path) -> None:
    from palaver_server.engine.vllm.answer.parsers import ParserNames  # noqa: PLC0415
    from palaver_server.engine.vllm.arguments import parse  # noqa: PLC0415
    from palaver_server.engine.vllm.prompt.rendering import Rendering  # noqa: PLC0415  # it imports vLLM

    broken = Rendering(
        engine._loaded().llm,
        replace(parse(str(model), "m", []), chat_template="{{ messages[0]['content'] + 1 }}"),
        ParserNames(),
    )

    with pytest.raises(PalaverError) as refused:
        await broken.render(say("Hi!"), GenerationOptions(), {})

    assert refused.value.violations[0].description == "the model's chat template cannot take these messages"


async def test_a_long_conversation_does_not_hold_up_the_others(engine: VllmEngine) -> None:

    stalls: list[float] = []

    async def watch() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            stalls.append(time.monotonic() - before - 0.005)

    watching = asyncio.create_task(watch())
    counted = (await engine.count_tokens(say("A quick brown fox jumps. " * 40_000))).prompt_token_count  # a megabyte
    watching.cancel()

    assert counted > 200_000
    assert max(stalls) < 0.5


async def test_defaults_are_the_requests_then_the_servers_then_the_models(engine: VllmEngine) -> None:
    from palaver_server.engine.vllm.prompt.params import Sampling  # noqa: PLC0415  # it imports vLLM

    runtime = engine._loaded()
    model = copy.copy(runtime.llm.model_config)
    model.override_generation_config = {"temperature": 0.3, "top_p": 0.4, "top_k": 5, "min_p": 0.05}
    sampling = Sampling(
        model,
        runtime.llm.renderer.get_tokenizer(),
        EnginePolicy(
            GenerationOptions(temperature=0.6, top_p=0.7, stop_sequences=("END",), max_output_tokens=9, seed=4)
        ),
    )

    request = say("Hi!", temperature=0.9)
    options = sampling.effective(request)
    params = sampling.params(request, await runtime.preparation.rendering.render(request, options, {}), options)

    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.9, 0.7, 5, 0.05)
    assert (params.stop, params.max_tokens, params.seed) == (["END"], 9, 4)
    assert sampling.model_defaults.temperature == 0.3
    assert sampling.model_defaults.repetition_penalty is None


async def test_a_servers_default_beyond_the_context_is_clamped_and_not_refused(engine: VllmEngine) -> None:
    from palaver_server.engine.vllm.prompt.params import Sampling  # noqa: PLC0415  # it imports vLLM

    runtime = engine._loaded()
    sampling = Sampling(
        runtime.llm.model_config,
        runtime.llm.renderer.get_tokenizer(),
        EnginePolicy(GenerationOptions(max_output_tokens=10 * CONTEXT_LENGTH)),
    )

    request = say("Hi!")
    options = sampling.effective(request)
    rendered = await runtime.preparation.rendering.render(request, options, {})

    assert sampling.params(request, rendered, options).max_tokens == CONTEXT_LENGTH - rendered.prompt_token_count
