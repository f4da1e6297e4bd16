"""litellm and langchain-openai through the real Envoy, as they come: nothing changed but base URL, key and CA."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uv

from tests.edge.conftest import new_key

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests/edge/clients"
LOCK = PROGRAMS / "clients.lock"
MODEL = "org/model"
ONE_PLACE = ("--max-concurrent-requests", "1", "--max-queued-requests", "0", "--scripted-interval", "0.1")
"""Whoever still generates is seen: nobody else can."""


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter that has the two clients, and nothing of ours."""
    folder = ROOT / ".cache" / f"clients-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"
    interpreter, done = folder / "bin/python", folder / "done"
    if not done.is_file():
        commands = (
            ("venv", "--quiet", "--clear", "--python", sys.executable, folder),
            ("pip", "install", "--quiet", "--python", interpreter, "--require-hashes", "-r", LOCK),
        )
        for command in commands:
            made = subprocess.run((uv.find_uv_bin(), *command), capture_output=True, text=True, check=False)
            if "Failed to fetch" in made.stderr or "dns error" in made.stderr:
                pytest.skip(f"the package index cannot be reached: {made.stderr[-200:]}")
            assert made.returncode == 0, made.stderr
        done.touch()
    return interpreter


@pytest.fixture(scope="module")
def environment(tmp_path_factory, start_pair_of_module) -> dict[str, str]:
    """Where the programs ask."""
    state_dir = tmp_path_factory.mktemp("s")
    free, _ = new_key(state_dir, "acme", "--requests-per-minute", "unlimited")
    limited, _ = new_key(state_dir, "bob", "--requests-per-minute", "1")
    pair = start_pair_of_module(*ONE_PLACE, "--served-model-name", MODEL, state_dir=state_dir)
    given = {"URL": pair.url, "KEY": free, "LIMITED_KEY": limited, "MODEL": MODEL}
    unwanted = re.compile(r"PALAVER_.*|PYTHONPATH|OPENAI_.*|.*_proxy", re.IGNORECASE)
    return {
        **{name: value for name, value in os.environ.items() if not unwanted.fullmatch(name)},
        **{f"PALAVER_{name}": value for name, value in given.items()},
        "SSL_CERT_FILE": str(pair.ca),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network for prices
    }


def run(python: Path, environment: dict[str, str], *arguments: str | Path) -> str:
    done = subprocess.run(
        (python, *arguments), env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module", params=["litellm", "langchain"])
def client(request) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def got(client, python, environment, tmp_path_factory) -> dict[str, Any]:
    """What the program of the client got, by case."""
    answers = tmp_path_factory.mktemp("got") / "answers.json"
    run(python, environment, PROGRAMS / f"ask_{client}.py", answers)
    return dict(json.loads(answers.read_text(encoding="utf-8")))


def test_an_answer_comes_whole_streamed_and_asynchronously(got):
    assert got["whole"] == ["one two three", "stop", 3]
    assert got["stream"] == ["one two three", True, 3]
    assert got["asynchronous"] == ["one two three", "one two three"]


def test_a_tool_is_called_and_answered(got, client):
    assert got["tools"] == {
        "called": ["get_weather", {"city": "Oslo"}],
        "said after": "sunny in Oslo",
        "streamed": {"city": "Oslo"},
        **({"thought": "I ponder."} if client == "litellm" else {}),  # LangChain keeps no thoughts of OpenAI's protocol
    }


def test_an_answer_has_the_form_of_a_class(got):
    assert got["structured"] == "Oslo"


def test_each_error_is_the_exception_that_the_client_has_for_it(got, client):
    expected = {
        "litellm": {
            "no such key": ["AuthenticationError", 401],
            "a number out of range": ["BadRequestError", 400],
            "another model": ["NotFoundError", 404],
            "too long a prompt": ["ContextWindowExceededError", 400],
            "over its limit": ["RateLimitError", 429],
        },
        "langchain": {
            "no such key": ["OpenAIAuthenticationError", 401],
            "a number out of range": ["OpenAIInvalidRequestError", 400],
            "another model": ["OpenAIModelNotFoundError", 404],
            "too long a prompt": ["OpenAIContextOverflowError", 400],
            "over its limit": ["OpenAIRateLimitError", 429],
        },
    }
    assert got["errors"] == {name: [error, error] for name, error in expected[client].items()}


def test_an_answer_that_is_given_up_frees_the_engine(got):
    assert got["leaving"] == ["closed", "cancelled", "timed out"]


def test_the_lines_of_the_readme_run_as_they_stand(python, environment):
    text = (ROOT / "clients/README.md").read_text(encoding="utf-8")
    blocks = [
        block
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if "langchain" in block or "litellm" in block
    ]
    assert len(blocks) == 2
    here = {
        "https://localhost:8443": environment["PALAVER_URL"],
        "smollm2-135m-instruct": MODEL,
        '"none"': repr(environment["PALAVER_KEY"]),
    }
    for block in blocks:
        assert all(written in block for written in here)
        program = re.sub("|".join(here), lambda written: here[written[0]], block)
        assert "capital of France" in run(python, environment, "-c", program)
