"""``palaver tune``."""

from __future__ import annotations

import signal
import tomllib
from pathlib import Path

import psutil

TINY_GLM = Path(__file__).parents[1] / "models" / "tiny-glm"
# Answers of a second, to more callers than the server lets in: only more room makes it faster.
CROWD = (
    *("--engine", "scripted", "--scripted-tokens", "5", "--scripted-interval", "0.2"),
    *("--streams", "160", "--prompt-tokens", "8", "--output-tokens", "5", "--ttft-bound", "60"),
)


def test_a_dry_run_tells_every_value_with_its_reason_and_what_is_set_by_hand(invoke) -> None:
    done = invoke("tune", "--dry-run", "--model", str(TINY_GLM), "--max-num-seqs", "8", CUDA_VISIBLE_DEVICES="")
    assert done.exit_code == 0
    assert "Start profile for no GPU" in done.stdout
    assert "enforce-eager  True      compiling wants" in done.stdout
    assert "max-num-seqs: set by hand, and kept" in done.stdout


def test_a_dry_run_chooses_nothing_where_no_model_is_run(invoke) -> None:
    assert "Nothing is chosen" in invoke("tune", "--dry-run", "--engine", "scripted").stdout


def test_ctrl_c_keeps_the_best_so_far_and_leaves_no_process(start, tmp_path: Path) -> None:
    output = tmp_path / "tuned.toml"
    tuning = start("tune", *CROWD, "--budget", "40s", "--output", str(output))
    children: list[psutil.Process] = []
    shown = []
    for line in tuning.stderr:
        shown.append(line)
        children += psutil.Process(tuning.pid).children(recursive=True)
        if "trying max_concurrent_requests 256" in line:
            tuning.send_signal(signal.SIGINT)
            break
    rest, _ = tuning.communicate(timeout=60)
    assert tuning.returncode == 130, shown
    assert "not compared with the defaults" in rest
    assert f"palaver serve --config {output} --engine scripted" in rest
    assert tomllib.loads(output.read_text()) == {"max_concurrent_requests": 128}
    assert children
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_a_server_that_does_not_start_is_told_with_its_cause(palaver, tmp_path: Path) -> None:
    done = palaver("tune", *CROWD, "--scripted-load-error", "no weights today", "--output", str(tmp_path / "t"))
    assert done.returncode == 1
    assert "the server does not start: no weights today" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_budget_that_one_trial_uses_up_is_told(palaver, tmp_path: Path) -> None:
    done = palaver("tune", *CROWD, "--budget", "1s", "--output", str(tmp_path / "t"))
    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])
    assert "give a longer --budget" in done.stdout
    assert "the defaults: " in done.stderr


def test_a_file_that_is_there_is_not_written_over(invoke, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("mine")
    done = invoke("tune", *CROWD, "--output", str(tmp_path / "t"))
    assert (done.exit_code, (tmp_path / "t").read_text()) == (2, "mine")
    assert "--force" in done.stderr


def test_what_is_all_set_by_hand_cannot_be_tuned(invoke, tmp_path: Path) -> None:
    done = invoke("tune", *CROWD, "--max-concurrent-requests", "8", "--output", str(tmp_path / "t"))
    assert done.exit_code == 2
    assert "set by hand" in done.stderr
