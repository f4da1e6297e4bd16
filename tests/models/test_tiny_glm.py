from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.thorough  # the weights are those of the digest below: what they write changes with torch alone
@pytest.mark.timeout(360)
def test_the_tiny_glm_writes_all_that_it_is_promised_to_write():
    command = [sys.executable, str(HERE / "train_tiny_glm.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "the model does everything that it is promised to do" in result.stdout


def test_the_weights_are_those_that_the_readme_names():
    digest = hashlib.sha256((HERE / "tiny-glm" / "model.safetensors").read_bytes()).hexdigest()
    assert digest in (HERE / "README.md").read_text()
