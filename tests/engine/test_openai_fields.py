"""Every field that vLLM's own server takes is taken or refused by name; a new one of vLLM's fails here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from palaver_server.rpc.openai import body, refused
from palaver_server.rpc.openai.request import request_from_body
from palaver_server.rpc.support import refuse_unsupported
from tests.engine.conftest import say

pytestmark = pytest.mark.usefixtures("tokenizer")  # imports vLLM, whose dependencies warn of each other


def names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_every_field_of_vllms_request_is_taken_or_refused_with_a_reason() -> None:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest  # noqa: PLC0415

    known = names(body.Body) | refused.PARAMETERS.keys()
    assert names(ChatCompletionRequest) - known == set()


def test_every_field_of_vllms_stream_options_is_taken_or_refused() -> None:
    from vllm.entrypoints.generate.base.protocol import StreamOptions  # noqa: PLC0415

    assert names(StreamOptions) - names(body.StreamOptions) - refused.STREAM_OPTIONS.keys() == set()


def test_every_form_of_vllms_is_taken_or_refused() -> None:
    from dataclasses import fields  # noqa: PLC0415

    from vllm.sampling_params import StructuredOutputsParams  # noqa: PLC0415

    theirs = {field.name for field in fields(StructuredOutputsParams) if not field.name.startswith("_")}
    assert theirs - names(body.StructuredOutputs) - refused.STRUCTURED_OUTPUTS.keys() == set()


def test_what_is_taken_is_acted_on() -> None:
    values: dict[str, Any] = {"watermarking": False, "ignore_eos": True, "min_p": 0.5, "bad_words": ["x"]}
    asked = body.Body.model_validate({"messages": [{"role": "user", "content": "hi"}], **values})
    refuse_unsupported(request_from_body(asked))


@pytest.mark.parametrize("is_watermarked", [None, True, False])
def test_the_engine_is_told_of_watermarks(is_watermarked: bool | None) -> None:
    from palaver_server.engine.vllm.prompt.chat_request import vllm_chat_request  # noqa: PLC0415

    request = say("Hi")
    options = replace(request.options, is_watermarked=is_watermarked)
    assert vllm_chat_request(request, options, {}).to_sampling_params(5, {}).watermarking is is_watermarked
