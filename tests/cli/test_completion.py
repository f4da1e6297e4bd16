"""Shell completion, by the shells' own way of asking for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def complete(environment: dict[str, str], tmp_path: Path):
    """The command under its own name, since the name of the variable comes from that."""
    program = tmp_path / "palaver"
    program.write_text(f"#!{sys.executable}\nfrom palaver_server.cli import main\nmain()\n")
    program.chmod(0o755)

    def ask(line: str, **variables: str) -> set[str]:
        asked = {"_PALAVER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        done = subprocess.run(
            [program], env={**environment, **asked, **variables}, capture_output=True, text=True, check=True
        )
        return {line.partition(",")[2] for line in done.stdout.splitlines() if line}

    return ask


def test_commands_options_and_choices_are_completed(complete) -> None:
    assert complete("palaver se") == {"serve", "settings"}
    assert {"--max-concurrent-requests", "--max-queued-requests"} <= complete("palaver serve --max")
    assert complete("palaver serve --engine ") == {"vllm", "scripted"}
    assert complete("palaver settings --log-format j") == {"json"}
    assert complete("palaver completion ") == {"bash", "zsh", "fish"}


def test_names_of_models_are_completed_from_the_catalogue_and_the_server(complete, server, tmp_path: Path) -> None:
    assert "smollm2-135m-instruct" in complete("palaver serve --model smol")
    assert complete("palaver chat --model ", PALAVER_ADDRESS=server.address) == {"scripted"}
    assert complete("palaver chat --model ", PALAVER_ADDRESS=f"unix:{tmp_path}/none") == set()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_script_is_one_that_its_shell_takes(invoke, shell: str) -> None:
    script = invoke("completion", shell).stdout
    assert "_PALAVER_COMPLETE" in script
    assert f"{shell}_complete" in script
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True)


def test_another_shell_is_wrong_use(invoke) -> None:
    done = invoke("completion", "tcsh")
    assert done.exit_code == 2
    assert "'tcsh' is not one of" in done.stderr
