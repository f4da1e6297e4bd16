"""``palaver tune``."""

from __future__ import annotations

from pathlib import Path

TINY_GLM = Path(__file__).parents[1] / "models" / "tiny-glm"


def test_a_dry_run_tells_every_value_with_its_reason_and_what_is_set_by_hand(invoke) -> None:
    done = invoke("tune", "--dry-run", "--model", str(TINY_GLM), "--max-num-seqs", "8", CUDA_VISIBLE_DEVICES="")
    assert done.exit_code == 0
    assert "Start profile for no GPU" in done.stdout
    assert "enforce-eager  True      compiling wants" in done.stdout
    assert "max-num-seqs: set by hand, and kept" in done.stdout


def test_a_dry_run_chooses_nothing_where_no_model_is_run(invoke) -> None:
    assert "Nothing is chosen" in invoke("tune", "--dry-run", "--engine", "scripted").stdout
