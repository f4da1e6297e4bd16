"""What programs do with OpenAI's SDK, to palaver through its edge and to vLLM's own server on the same engine.

The cases are those of ``tests/edge/test_openai_sdk.py``. What a program gets must have the same fields of the same
types from both, and the same values where they are facts; a difference stands in a table here with its reason, and a
reason that explains nothing any more fails as well.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
import pytest_asyncio

from palaver_server.engine.vllm.engine import VllmEngine
from tests.engine.conftest import TINY_GLM
from tests.engine.differential.accepted import BREAKS
from tests.engine.differential.cases import OFF
from tests.engine.differential.cases import glm as taught
from tests.engine.edged import edged
from tests.engine.test_openai_conformance import DIFFERENCES, STREAM_DIFFERENCES, shape
from tests.engine.vllm_app import vllm_app
from tests.openai_sdk import CASES, REFUSED, Seen, Side, refusal

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # The SDK serializes its own parsed answers with pydantic, which warns of the SDK's types.
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

MODEL = "tiny-glm"
VLLM_FLAGS = ["--reasoning-parser", "glm45", "--tool-call-parser", "glm45", "--enable-auto-tool-choice"]

REQUEST_ID = "vLLM's server names a request to its caller only by a flag of its operator"
NO_PATH = "vLLM's server has no such path, and says so in the words of its framework"
NO_FIELD = "vLLM names no field here"
CASE_DIFFERENCES: dict[str, dict[str, str]] = {
    "an_answer_in_one_piece": {"names its request": REQUEST_ID},
    "raw_and_streaming_responses": {"request ids": REQUEST_ID},
    "models": {
        "retrieved": NO_PATH,
        "request id": REQUEST_ID,
        **dict.fromkeys(("code", "param", "type", "message"), NO_PATH),
        **{f"missing.{name}": NO_PATH for name in ("code", "param", "type", "message", "detail")},
    },
    "a_path_that_does_not_exist": {
        "request id": REQUEST_ID,
        **dict.fromkeys(("code", "param", "type", "message", "detail"), NO_PATH),
    },
}
"""By case and field: why it is not as from vLLM."""

ERROR_DIFFERENCES = {
    "code": DIFFERENCES["error.code"],
    "type": "vLLM tells the name of its exception; OpenAI's is a kind of error, which clients switch on",
    "request id": REQUEST_ID,
}
REFUSAL_DIFFERENCES: dict[str, dict[str, str]] = {
    "a number out of range": ERROR_DIFFERENCES,
    "a word for a number": ERROR_DIFFERENCES | {"param": "vLLM's is a path in its own parser, body.temperature"},
    "a salt of the cache": {"answered": "vLLM's callers choose whose cache they share; palaver chooses"},
    "a template": ERROR_DIFFERENCES | {"param": NO_FIELD},
    "store": {"answered": "vLLM takes it and stores nothing; palaver says that it does not store"},
    "another model": ERROR_DIFFERENCES,
    "too long a prompt": ERROR_DIFFERENCES | {"param": "vLLM's is input_tokens, which is no field of a request"},
    "no messages": ERROR_DIFFERENCES | {"param": NO_FIELD},
}
"""By refused request and field, the same."""

VARYING = {"texts": "what a model says in a batch depends, by rounding, on who else is in it"}
"""Facts that need not be the same twice from one server."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sides(glm: VllmEngine, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Side, Side]]:
    """palaver's and vLLM's."""
    state = tmp_path_factory.mktemp("s")
    llm = glm._loaded().llm
    async with (
        edged(glm, MODEL, state) as palaver,
        vllm_app(llm, TINY_GLM, MODEL, VLLM_FLAGS) as vllm_url,
        openai.DefaultAsyncHttpxClient(trust_env=False) as vllm,
    ):
        ours, theirs = f"{palaver.base_url}/v1", f"{vllm_url}/v1"
        verify = ssl.create_default_context(cafile=str(state / "tls" / "ca.crt"))
        with (
            openai.DefaultHttpxClient(verify=verify, trust_env=False) as sync_palaver,
            openai.DefaultHttpxClient(trust_env=False) as sync_vllm,
        ):
            yield _side(ours, palaver, sync_palaver), _side(theirs, vllm, sync_vllm)


def _side(url: str, client: Any, sync_client: Any) -> Side:
    options: dict[str, Any] = {"base_url": url, "api_key": "none", "max_retries": 0}
    return Side(
        openai.AsyncOpenAI(http_client=client, **options),
        openai.OpenAI(http_client=sync_client, **options),
        MODEL,
        plain="Hello",
        calling="What is the weather in Paris?",
        placed="Hello",
        tools=[{**tool, "function": {**tool["function"], "strict": True}} for tool in taught.TOOLS],
        fields={"temperature": 0, "max_completion_tokens": 64, "extra_body": OFF},
    )


@pytest.mark.parametrize("name", CASES)
async def test_a_program_gets_what_it_gets_from_vllm(sides, name):
    ours, theirs = [await CASES[name](side) for side in sides]
    assert differing(ours, theirs) == CASE_DIFFERENCES.get(name, {}).keys()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", REFUSED)
async def test_a_program_is_refused_as_by_vllm(sides, name, streamed):
    ours, theirs = [await refusal(side, REFUSED[name], streamed=streamed) for side in sides]
    assert differing(ours, theirs) == REFUSAL_DIFFERENCES[name].keys()


def differing(ours: Seen, theirs: Seen) -> set[str]:
    """Name the fields that one alone has, or has of another type, and the facts that differ."""
    if ours.facts.get("answered") != theirs.facts.get("answered"):
        return {"answered"}
    assert ours.facts.keys() == theirs.facts.keys()
    fields = {path.removeprefix("[].") for path, _ in shape(ours.shapes) ^ shape(theirs.shapes)}
    facts = {name for name, fact in ours.facts.items() if laid_out(fact) != laid_out(theirs.facts[name])}
    return (fields - STREAM_DIFFERENCES.keys()) | (facts - VARYING.keys())


def laid_out(value: Any) -> Any:
    """Leave out the line breaks before a text, GLM's layout, which vLLM tells (``differential/accepted.py``)."""
    if isinstance(value, str):
        return value.lstrip(BREAKS)
    return [laid_out(item) for item in value] if isinstance(value, list) else value
