"""The settings files in deploy/profiles say what they say to a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from palaver.v1 import chat_service_pb2, model_service_pb2

PROFILES = Path(__file__).parents[2] / "deploy" / "profiles"
GLM = PROFILES / "glm-4.5-air.toml"
NUMBERS = {
    "model": "zai-org/GLM-4.5-Air",
    "served_model_name": "glm-4.5-air",
    "default_temperature": 0.7,
    "default_top_p": 0.9,
    "default_max_output_tokens": 1024,
    "max_output_tokens": 8192,
    "max_concurrent_requests": 100,
    "max_queued_requests": 100,
    "tiers": {"default": {"requests_per_minute": 60}},
}


@pytest.mark.parametrize("profile", sorted(PROFILES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_command_takes_every_profile(profile: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PALAVER_")}
    run = subprocess.run(
        [sys.executable, "-m", "palaver_server", "settings", "--config", str(profile), "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    of_file = {one["name"]: one["value"] for one in json.loads(run.stdout) if one["origin"] == "file"}
    assert of_file
    if profile == GLM:
        assert of_file == NUMBERS


def asked(**fields: Any) -> chat_service_pb2.ChatRequest:
    request = {
        "messages": [{"role": "ROLE_USER", "content": [{"text": "hello"}]}],
        "response_options": {"include_effective_options": True},
        **fields,
    }
    return json_format.ParseDict(request, chat_service_pb2.ChatRequest())


async def test_a_request_without_options_gets_the_profiles_numbers(serve, monkeypatch) -> None:
    monkeypatch.setenv("PALAVER_CONFIG", str(GLM))
    server = await serve()
    told = (await server.chat.Chat(asked())).effective_options
    assert told.temperature == pytest.approx(0.7)
    assert told.top_p == pytest.approx(0.9)
    assert told.max_output_tokens == 1024
    own = (await server.chat.Chat(asked(options={"temperature": 0, "max_output_tokens": 5}))).effective_options
    assert (own.temperature, own.max_output_tokens) == (0, 5)
    assert own.top_p == pytest.approx(0.9)
    model = await server.models.GetModel(model_service_pb2.GetModelRequest(name="models/glm-4.5-air"))
    assert model.max_output_tokens == 8192
