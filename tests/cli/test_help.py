"""What the command line says about itself."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from palaver_server.cli import COMMANDS, main
from palaver_server.settings import Settings

SCREEN_LINES, SCREEN_COLUMNS = 40, 100
OURS = [
    *("up", "serve", "keys", "settings", "doctor", "tune", "chat", "count", "explain", "health", "top", "log-level"),
    "completion",
]


def help_of(*arguments: str) -> str:
    result = CliRunner().invoke(main, [*arguments], terminal_width=SCREEN_COLUMNS, prog_name="palaver")
    assert result.exit_code == 0, result.output
    return result.output


def test_the_table_of_commands_is_what_there_is() -> None:
    assert set(OURS) <= set(COMMANDS)
    for name, text in COMMANDS.items():
        assert f"  {name}" in help_of("--help")
        assert text in help_of("--help")
        assert help_of(name, "--help").startswith(f"Usage: palaver {name}")


@pytest.mark.parametrize("name", OURS)
def test_every_help_fits_a_screen_and_shows_an_example(name: str) -> None:
    lines = help_of(name, "--help").splitlines()
    assert len(lines) <= SCREEN_LINES
    assert max(map(len, lines)) <= SCREEN_COLUMNS
    assert any(line.strip().startswith(f"palaver {name}") for line in lines[1:]) or name == "completion"


def test_all_settings_are_in_the_help_that_shows_all() -> None:
    shown = help_of("serve", "--help-all")
    brief = help_of("serve", "--help")
    for name in Settings.model_fields:
        if name not in ("vllm", "tiers"):  # tables of the file
            assert f"--{name.replace('_', '-')}" in shown
    assert "--keepalive-time" not in brief
    assert "--listen" in brief


def test_a_misspelt_command_is_answered_with_the_right_one(invoke) -> None:
    done = invoke("serf")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Did you mean 'serve'?" in done.stderr


def test_a_misspelt_flag_is_answered_with_the_right_one(invoke) -> None:
    done = invoke("serve", "--engine", "scripted", "--max-calss", "3")
    assert done.exit_code == 2
    assert "No such option '--max-calss'. Did you mean '--max-calls'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], ["grpc", "pydantic", "rich", "palaver_client"]),
        (["health", "--help"], ["pydantic", "rich", "palaver_client", "palaver.v1", "structlog", "psutil"]),
        (["serve", "--help"], ["grpc", "rich", "vllm", "palaver_client"]),
        (["doctor", "--help"], ["torch", "vllm", "transformers"]),
    ],
)
def test_a_command_imports_what_it_needs_and_no_more(arguments: list[str], absent: list[str], environment) -> None:
    program = (
        "import sys; from palaver_server.cli import main; main(sys.argv[1:], standalone_mode=False); "
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment, check=True
    )
    assert not set(absent) & set(done.stderr.split())
