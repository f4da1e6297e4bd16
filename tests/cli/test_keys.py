"""The commands `palaver keys ...`, as a person and a script meet them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from palaver_server.cli import main
from palaver_server.core.identity.key_text import is_well_formed, key_hash


@pytest.fixture
def keys(tmp_path: Path, monkeypatch):
    """Run `palaver keys ...` on a folder of the test's own, with a tier ``gold``."""
    config = tmp_path / "palaver.toml"
    config.write_text("[tiers.gold]\nrequests_per_minute = 600\n")
    monkeypatch.setenv("PALAVER_CONFIG", str(config))
    monkeypatch.setenv("PALAVER_STATE_DIR", str(tmp_path / "s"))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["keys", *arguments], prog_name="palaver")

    return run


def rows(keys) -> list[dict]:
    return json.loads(keys("list", "--json").stdout)


def test_the_key_stands_alone_on_standard_output_and_is_stored_as_a_hash(keys, tmp_path):
    done = keys("create", "--client", "acme", "--tier", "gold", "--expires-in", "30d")
    assert done.exit_code == 0
    assert done.stdout == done.stdout.strip() + "\n"
    text = done.stdout.strip()
    assert is_well_formed(text)
    assert text not in done.stderr
    (row,) = rows(keys)
    assert (row["client"], row["tier"], row["requests_per_minute"], row["state"]) == ("acme", "gold", 600, "active")
    assert row["id"] in done.stderr
    assert key_hash(text) not in keys("list", "--json").stdout
    assert key_hash(text) in (tmp_path / "s" / "keys.json").read_text()


def test_a_limit_of_its_own_wins_over_the_tiers(keys):
    keys("create", "--client", "a", "--tier", "gold", "--requests-per-minute", "5")
    keys("create", "--client", "b", "--requests-per-minute", "unlimited")
    keys("create", "--client", "c")
    assert [row["requests_per_minute"] for row in rows(keys)] == [5, "unlimited", 60]


def test_methods_are_taken_by_any_of_their_names(keys):
    keys("create", "--client", "a", "--methods", "ChatService/Chat,ListModels", "--methods", "palaver.v1.OpenAIService")
    assert rows(keys)[0]["methods"] == [
        "palaver.v1.ChatService/Chat",
        "palaver.v1.ModelService/ListModels",
        "palaver.v1.OpenAIService/CreateChatCompletion",
        "palaver.v1.OpenAIService/GetOpenAIModel",
        "palaver.v1.OpenAIService/ListOpenAIModels",
    ]


def test_revoke_and_rotate_by_id(keys):
    text = keys("create", "--client", "a").stdout
    key_id = rows(keys)[0]["id"]
    turned = keys("rotate", key_id, "--overlap", "1h")
    assert is_well_formed(turned.stdout.strip())
    assert turned.stdout != text
    assert [row["id"] for row in rows(keys)] == [key_id]
    assert keys("revoke", key_id).exit_code == 0
    assert rows(keys)[0]["state"] == "revoked"
    refused = keys("rotate", key_id)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "revoked; make a new one" in refused.stderr


def test_prune_forgets_what_ended_longer_ago_and_nothing_else(keys, tmp_path):
    for client in (
        "revoked-long-ago",
        "revoked-lately",
        "expired-long-ago",
        "expired-lately",
        "expires-later",
        "active",
    ):
        keys("create", "--client", client)
    path = tmp_path / "s" / "keys.json"
    document = json.loads(path.read_text())
    now = datetime.now(UTC)
    ends = {
        "revoked-long-ago": {"revoked_at": now - timedelta(days=31)},
        "revoked-lately": {"revoked_at": now - timedelta(days=29)},
        "expired-long-ago": {"expires_at": now - timedelta(days=31), "revoked_at": now - timedelta(days=1)},
        "expired-lately": {"expires_at": now - timedelta(days=29)},
        "expires-later": {"expires_at": now + timedelta(days=1)},
    }
    for key in document["keys"]:
        key |= {name: moment.isoformat() for name, moment in ends.get(key["client"], {}).items()}
    path.write_text(json.dumps(document))
    ids = {row["client"]: row["id"] for row in rows(keys)}

    done = keys("prune", "--older-than", "30d")
    assert done.stdout.split() == [ids["revoked-long-ago"], ids["expired-long-ago"]]
    assert "2 keys were removed" in done.stderr
    left = ["revoked-lately", "expired-lately", "expires-later", "active"]
    assert [row["client"] for row in rows(keys)] == left
    assert path.stat().st_mode & 0o777 == 0o600

    again = keys("prune")  # 30 days by default
    assert (again.exit_code, again.stdout, again.stderr) == (0, "", "No keys were removed.\n")
    assert keys("prune", "--older-than", "0s").stdout.split() == [ids[name] for name in left[:2]]
    assert [row["client"] for row in rows(keys)] == left[2:]


def test_prune_asks_nobody_for_a_key_who_needed_none(keys, tmp_path):
    assert keys("prune").exit_code == 0
    assert not (tmp_path / "s" / "keys.json").exists()


def test_callers_need_a_key_after_the_last_one_was_pruned(keys, tmp_path):
    keys("create", "--client", "a")
    keys("revoke", rows(keys)[0]["id"])
    assert "1 key was removed" in keys("prune", "--older-than", "0s").stderr
    assert json.loads((tmp_path / "s" / "keys.json").read_text())["version"] == 1
    assert rows(keys) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("create",), "--client"),
        (("create", "--client", "two words"), "--client"),
        (("create", "--client", "a", "--tier", "silver"), "there are: default, gold"),
        (("create", "--client", "a", "--requests-per-minute", "0"), "from 1 to 1000000"),
        (("create", "--client", "a", "--expires-in", "soon"), "30d"),
        (("create", "--client", "a", "--methods", "Chatt"), "ChatService/StreamChat"),
        (("revoke", "key-0"), "palaver keys list"),
        (("rotate", "key-0"), "palaver keys list"),
        (("prune", "--older-than", "long"), "30d"),
    ],
)
def test_wrong_use_ends_with_two_and_says_what_is_right(keys, arguments, told):
    done = keys(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert told in done.stderr
    assert rows(keys) == []


def test_an_empty_list_says_how_to_begin(keys):
    assert "palaver keys create" in keys("list").stderr


def test_a_damaged_file_ends_with_one_and_is_left_alone(keys, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "keys.json").write_text("{")
    done = keys("create", "--client", "a")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "is damaged" in done.stderr
    assert (tmp_path / "s" / "keys.json").read_text() == "{"
