"""A real vLLM behind a real Envoy: every panel of every dashboard has data, and promtool reads every figure."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from deploy.observability.draw import draw, lines_of
from deploy.observability.panels import DASHBOARDS
from tests.edge.agreement.calls import DIRECT, WAYS, Ask, Caller
from tests.edge.agreement.mix import Keys, caller_of, metrics_address
from tests.edge.agreement.test_vllm_agrees import FLAGS, START_SECONDS
from tests.edge.conftest import running_pair
from tests.edge.watched.faults import going_on
from tests.edge.watched.prometheus import SCRAPE_SECONDS, watching
from tests.scrape import scrape_text

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(400)]

LOAD_SECONDS = 20
ENVOYS_OWN = ("no help text", "should have", "should not have", "abbreviated units", "use base unit")
"""What promtool says of Envoy's names and missing help texts, which are Envoy's."""


async def load(caller: Caller, key: Keys) -> None:
    """Calls of every protocol, good and bad, for a while."""
    ways = [way for way in WAYS if way[0] != DIRECT]
    asked = (
        Ask("count 5", key=key.free, words=8),
        Ask("count 5", key=key.limited, words=2),
        Ask(key=key.free, model="another"),
        Ask(key=key.unknown),
    )
    calls = [partial(caller.call, way, one) for way in ways for one in asked]
    async with going_on(*calls, pause=1):
        await asyncio.sleep(LOAD_SECONDS)


def lint(text: str) -> list[str]:
    """What promtool has to say."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool: apt-get install prometheus")
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line]


def test_every_panel_has_data_and_promtool_reads_every_figure(tmp_path: Path) -> None:
    key = Keys(tmp_path)
    with running_pair(*FLAGS, state_dir=tmp_path, wait_for="") as pair:
        pair.event("ready", START_SECONDS)
        server, edge = metrics_address(pair), pair.status_url.removeprefix("http://")
        with watching(tmp_path, [server], [edge]) as prometheus:

            async def call() -> None:
                async with caller_of(pair, "tiny-glm") as caller:
                    await load(caller, key)

            asyncio.run(call())
            times = {"since": LOAD_SECONDS + 5, "scrape_seconds": SCRAPE_SECONDS}
            for name, panels in DASHBOARDS.items():
                for panel in panels:
                    queries = len({legend for _, legend in panel.queries if "{" not in legend})
                    lines = lines_of(prometheus.url, panel, **times)
                    assert len(lines) >= max(queries, 1), f"{name}: {panel.title}"
            assert draw(prometheus.url, tmp_path / "pictures", **times) == []
            assert {path.stem for path in (tmp_path / "pictures").iterdir()} == set(DASHBOARDS)
        ours = [line for line in lint(scrape_text(server)) if line.startswith("palaver")]
        assert ours == []
        with urllib.request.urlopen(f"http://{edge}/metrics", timeout=30) as answer:
            said = lint(answer.read().decode())
        assert [line for line in said if not any(known in line for known in ENVOYS_OWN)] == []
