"""What the OpenAPI document says and what the running pair does are the same: Schemathesis looks for a difference."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.mark.parametrize(
    ("phases", "examples", "least"),
    [
        pytest.param("examples,fuzzing", 8, 60, id="some requests"),
        pytest.param("examples,coverage,fuzzing", 60, 2000, id="many requests", marks=pytest.mark.thorough),
    ],
)
@pytest.mark.timeout(600)
def test_schemathesis_finds_no_difference(start_pair, tmp_path, phases, examples, least):
    state = tmp_path / "state"
    made = subprocess.run(
        [sys.executable, "-m", "palaver_server", "keys", "create", "--client", "tester",
         "--requests-per-minute", "1000000", "--state-dir", str(state)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    pair = start_pair(state_dir=state)
    run = subprocess.run(
        [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIGURATION), "run",
         f"{pair.url}/openapi.json", "--tls-verify", str(pair.ca), "-H", f"X-API-Key: {made.stdout.strip()}",
         "--phases", phases, "--max-examples", str(examples), "--continue-on-failure", "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=540,
        env=os.environ | {"NO_PROXY": "localhost", "no_proxy": "localhost"},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", run.stdout)
    cases = re.search(r"(\d+) generated", run.stdout)
    assert tested is not None
    assert cases is not None
    assert int(tested[1]) == 11, "all but /openapi.json itself"
    assert int(cases[1]) > least
