"""Dashboards and alerts are what their source says, and ask for figures that there are."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from palaver.v1 import chat_service_pb2, content_part_pb2, message_pb2, role_pb2
from tests.scrape import scrape_text

FOLDER = Path(__file__).parents[2] / "deploy" / "observability"
RULES = json.loads("\n".join((FOLDER / "palaver.rules.yaml").read_text().splitlines()[1:]))
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in (FOLDER / "dashboards").glob("*.json")}
ONLY_AFTER_USE = {"palaver_limit_decisions_total", "palaver_call_errors_total"}
"""Counters whose labels are known when they are used first, by a part that this test does not start or use."""


def rules() -> list[dict]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    panels = [target["expr"] for board in DASHBOARDS.values() for p in board["panels"] for target in p["targets"]]
    return panels + [rule["expr"] for rule in rules()]


@pytest.fixture
async def metrics(serve, tmp_path) -> str:
    """What a server tells that has answered, streamed and refused."""
    serving = await serve(metrics_listen="127.0.0.1:0", audit_dir=tmp_path / "audit")
    part = content_part_pb2.ContentPart(text="one two three")
    message = message_pb2.Message(role=role_pb2.ROLE_USER, content=[part])
    async for _ in serving.chat.StreamChat(
        chat_service_pb2.StreamChatRequest(chat=chat_service_pb2.ChatRequest(messages=[message]))
    ):
        pass
    with pytest.raises(grpc.aio.AioRpcError):
        await serving.chat.Chat(chat_service_pb2.ChatRequest(messages=[message], model="another"))
    return await asyncio.to_thread(scrape_text, serving.app.metrics_address)


def test_every_generated_file_is_what_its_source_says():
    run = subprocess.run(
        [sys.executable, str(FOLDER / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr


async def test_every_figure_of_palaver_that_is_asked_for_is_there(metrics):
    names = {re.split(r"[{ ]", line)[0] for line in metrics.splitlines() if not line.startswith("#")}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    asked = {name for query in queries() for name in re.findall(r"\bpalaver_[a-z_]+|\bpalaver:[a-z_:0-9]+", query)}
    assert asked - recorded - names - ONLY_AFTER_USE == set()


async def test_every_figure_is_explained(metrics):
    explained = set(re.findall(r"^# HELP (palaver_\w+) \S", metrics, re.MULTILINE))
    assert set(re.findall(r"^# TYPE (palaver_\w+)", metrics, re.MULTILINE)) <= explained


def test_every_alert_says_what_to_do():
    readme = (FOLDER / "README.md").read_text()
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) >= 14
    for alert in alerts:
        assert f"\n### {alert['alert']}\n" in readme
        assert alert["annotations"]["runbook"].endswith("#" + alert["alert"].lower())
        assert alert["labels"]["severity"] in ("page", "ticket")


@pytest.mark.thorough
def test_every_alert_fires_and_resolves():
    """Needs promtool, of the Debian package prometheus."""
    promtool = shutil.which("promtool")
    assert promtool is not None, "install promtool"
    subprocess.run([promtool, "check", "rules", "palaver.rules.yaml"], cwd=FOLDER, check=True, timeout=60)
    subprocess.run([promtool, "test", "rules", "palaver.rules.test.yaml"], cwd=FOLDER, check=True, timeout=120)


@pytest.mark.thorough
async def test_promtool_has_nothing_to_say_about_the_figures(metrics):
    promtool = shutil.which("promtool")
    assert promtool is not None, "install promtool"
    check = await asyncio.create_subprocess_exec(
        *(promtool, "check", "metrics"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await check.communicate(metrics.encode())
    assert (said.decode(), check.returncode) == ("", 0)
