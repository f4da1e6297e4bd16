"""Competitors that need more than palaver has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.bench import install
from tests.bench.processes import BenchError


def test_a_peer_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(install, "FOLDER", tmp_path)
    with pytest.raises(BenchError, match=r"smg is not installed: run python -m tests\.bench\.install smg"):
        install.program("smg")


def test_an_installation_that_was_broken_off_counts_as_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(install, "FOLDER", tmp_path)
    (tmp_path / "smg" / "bin").mkdir(parents=True)
    with pytest.raises(BenchError):
        install.packages("smg")
    (tmp_path / "smg" / install.READY).touch()
    assert install.packages("smg").startswith(str(tmp_path / "smg" / "lib"))


@pytest.mark.parametrize("environment", install.ENVIRONMENTS)
def test_every_package_of_a_lock_is_pinned_and_has_hashes(environment: str) -> None:
    lock = (install.LOCKS / f"{environment}.lock").read_text()
    entries = re.split(r"\n(?=\S)", lock.strip())
    assert entries
    assert all("==" in entry.splitlines()[0] and "--hash=sha256:" in entry for entry in entries)


def test_an_environment_that_is_not_there_is_refused_by_name() -> None:
    run = CliRunner().invoke(install.main, ["triton"])
    assert run.exit_code == 2
    assert "'triton' is not one of 'flask', 'smg'" in run.output
