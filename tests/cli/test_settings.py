"""``palaver settings``, and the environment that server and clients share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from palaver_client import _connection
from palaver_server import settings as tree
from palaver_server.cli.setting import HIDDEN, all_settings

DOCUMENT = Path(__file__).parents[2] / "server" / "SETTINGS.md"


def by_name(output: str) -> dict[str, Any]:
    return {entry["name"]: entry for entry in json.loads(output)}


def test_every_setting_is_shown_with_its_value_and_origin(invoke, tmp_path: Path) -> None:
    file = tmp_path / "palaver.toml"
    file.write_text('grace = 5\nmax_queued_requests = 7\nlog_level = "debug"\n')
    told = by_name(
        invoke(
            *("settings", "--json", "--config", str(file), "--log-level", "error"),
            PALAVER_MAX_QUEUED_REQUESTS="9",
        ).stdout
    )
    assert list(told) == [name for group in tree.GROUPS for name in group.model_fields]
    assert (told["log_level"]["value"], told["log_level"]["origin"]) == ("error", "flag")
    assert (told["max_queued_requests"]["value"], told["max_queued_requests"]["origin"]) == (9, "environment")
    assert (told["grace"]["value"], told["grace"]["origin"]) == (5.0, "file")
    assert (told["listen"]["value"], told["listen"]["origin"]) == ("127.0.0.1:50051", "default")
    assert told["grace"]["flag"] == "--grace"
    assert told["grace"]["environment"] == "PALAVER_GRACE"


def test_people_get_one_line_a_setting(invoke) -> None:
    lines = invoke("settings", "--max-request-bytes", "2048").stdout.splitlines()
    assert "How many calls at once" in lines
    line = next(line for line in lines if line.startswith("  max_request_bytes "))
    assert line.split() == ["max_request_bytes", "2048", "(2", "KiB)", "flag", "--max-request-bytes"]


def test_secrets_are_not_shown(invoke) -> None:
    arguments = '{"hf-token": "sesame", "max-num-batched-tokens": 64, "otlp-endpoint": "http://ann:sesame@host/"}'
    for output in (
        invoke("settings", PALAVER_VLLM=arguments, PALAVER_API_KEY="sesame").stdout,
        invoke("settings", "--json", PALAVER_VLLM=arguments, PALAVER_API_KEY="sesame").stdout,
    ):
        assert "sesame" not in output
        assert HIDDEN in output
        assert "64" in output
        assert "host" in output


@pytest.mark.parametrize(
    ("arguments", "variables", "reason"),
    [
        (("--grace", "-1"), {}, "grace: "),
        (("--engine", "gpt"), {}, "'gpt' is not one of 'vllm', 'scripted'"),
        (("--config", "/nowhere.toml"), {}, "'/nowhere.toml' does not exist"),
        ((), {"PALAVER_GRACES": "1"}, "PALAVER_GRACES is set in the environment, but there is no such setting"),
        ((), {"PALAVER_CONFIG": "/nowhere.toml"}, "PALAVER_CONFIG names /nowhere.toml, which is not a file"),
        (("--json", "--markdown"), {}, "give one of them"),
    ],
)
def test_settings_that_cannot_be_are_wrong_use(invoke, arguments, variables, reason) -> None:
    done = invoke("settings", *arguments, **variables)
    assert (done.exit_code, done.stdout) == (2, "")
    assert reason in done.stderr


def test_a_file_that_is_no_toml_is_wrong_use(invoke, tmp_path: Path) -> None:
    file = tmp_path / "palaver.toml"
    file.write_text("grace: 5\n")
    done = invoke("settings", "--config", str(file))
    assert done.exit_code == 2
    assert f"Error: {file} cannot be read" in done.stderr


def test_variables_of_the_clients_do_not_disturb_a_server(invoke) -> None:
    theirs = {_connection.ADDRESS_VARIABLE, _connection.API_KEY_VARIABLE, _connection.CA_VARIABLE}
    assert theirs == tree.CLIENT_VARIABLES
    assert invoke("settings", **dict.fromkeys(theirs, "anything")).exit_code == 0


def test_the_document_of_all_settings_is_up_to_date(palaver) -> None:
    fresh = palaver("settings", "--markdown").stdout
    assert DOCUMENT.read_text() == fresh, "run: palaver settings --markdown > server/SETTINGS.md"
    for setting in all_settings():
        assert f"`{setting.variable}`" in fresh


def test_every_setting_has_a_meaning_and_a_range_in_words() -> None:
    for setting in all_settings():
        assert setting.meaning.endswith((".", "?")), setting.name
        assert setting.takes, setting.name
    takes = {setting.name: setting.takes for setting in all_settings()}
    assert takes["grace"] == "seconds from 0"
    assert takes["default_top_p"] == "number over 0 to 1"
    assert takes["max_request_bytes"] == "bytes from 1024 to 268435456"
    assert takes["log_format"] == "auto | json | console"
