"""The programs of clients/go and clients/java, built on the committed stubs, ask through the edge."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "one two three"


@pytest.fixture(scope="module")
def locked(start_pair_of_module):
    """A pair that asks for a key, and one."""
    state = Path(tempfile.mkdtemp(prefix="palaver-edge-"))
    create = (sys.executable, "-m", "palaver_server", "keys", "create", "--client", "example", "--state-dir", state)
    key = subprocess.run(create, capture_output=True, text=True, check=True).stdout.strip()
    pair = start_pair_of_module(state_dir=state)
    pair.key = key
    yield pair
    shutil.rmtree(state)


def run(*command: str | Path, folder: Path, seconds: float = 300, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False, timeout=seconds
    )


@pytest.mark.timeout(400)
@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_go_asks_and_names_the_reason_of_a_refusal(locked, tmp_path):
    program = tmp_path / "ask"
    built = run("go", "build", "-o", program, ".", folder=ROOT / "clients/go")
    if "dial tcp" in built.stderr or "proxy" in built.stderr:
        pytest.skip(f"the Go module proxy cannot be reached: {built.stderr[-200:]}")
    assert built.returncode == 0, built.stderr
    arguments = ("-address", f"localhost:{locked.port}", "-ca", locked.ca)
    done = run(program, *arguments, QUESTION, folder=tmp_path, PALAVER_API_KEY=locked.key)
    assert (done.returncode, done.stdout) == (0, f"{QUESTION}\n"), done.stderr
    refused = run(program, *arguments, QUESTION, folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "(KEY_MISSING)" in refused.stderr


@pytest.mark.thorough
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("mvn") is None, reason="needs Maven")
def test_java_asks_and_names_the_reason_of_a_refusal(locked):
    maven = ("mvn", "--batch-mode", "--quiet", "-Dstyle.color=never")
    installed = run(*maven, "-f", "gen/java", "install", folder=ROOT)
    assert installed.returncode == 0, installed.stdout
    example = (*maven, "-f", "clients/java", "compile", "exec:java")
    arguments = f"-Dexec.args=localhost:{locked.port} {locked.ca} '{QUESTION}'"
    done = run(*example, arguments, folder=ROOT, PALAVER_API_KEY=locked.key)
    # Maven colours its end, whatever it is told.
    assert (done.returncode, re.sub(r"\x1b\[\d*m", "", done.stdout).strip()) == (0, QUESTION), done.stdout + done.stderr
    assert "KEY_MISSING" in run(*example, arguments, folder=ROOT).stderr
