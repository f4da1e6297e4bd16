from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import timedelta

import pytest

from palaver_server.core.identity.issuing import UnknownKeyError, revoke_key, rotate_key
from palaver_server.core.identity.key_file import KeyFileError

COMMAND = (sys.executable, "-m", "palaver_server", "keys")


def test_the_file_and_its_folder_are_the_owners_alone(issue, key_file) -> None:
    old = os.umask(0)
    try:
        issue()
    finally:
        os.umask(old)
    assert stat.S_IMODE(key_file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(key_file.path.parent.stat().st_mode) == 0o700


def test_the_file_holds_the_hash_and_nothing_of_the_key(issue, key_file) -> None:
    issued = issue()
    content = key_file.path.read_text()
    assert issued.text not in content
    assert issued.text[8:20] not in content
    assert issued.key.secrets[0].sha256 in content
    assert issued.text not in repr(issued)


def test_processes_that_make_keys_at_once_lose_none(key_file) -> None:
    makers = [
        subprocess.Popen(
            [*COMMAND, "create", "--client", f"c{number}", "--keys-file", str(key_file.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for number in range(8)
    ]
    texts = {maker.communicate()[0] for maker in makers}
    assert [maker.returncode for maker in makers] == [0] * 8
    assert len(texts) == 8
    assert {key.client for key in key_file.read().keys} == {f"c{number}" for number in range(8)}
    assert [path.name for path in key_file.path.parent.iterdir()] == ["keys.json"]


def test_a_change_that_fails_leaves_the_file_as_it_was(issue, key_file) -> None:
    issue()
    before = key_file.path.read_bytes()

    def fail(_keys):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        key_file.change(fail)
    assert key_file.path.read_bytes() == before
    assert [path.name for path in key_file.path.parent.iterdir()] == ["keys.json"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "damaged at the document"),
        (b'{"version": 2, "keys": []}', "version"),
        (b'{"keys": [{"id": "key-1", "client": "secret-canary"}]}', "keys.0.created_at"),
        (b'{"keys": [], "secret-canary": 1}', "damaged"),
    ],
)
def test_a_damaged_file_is_told_by_place_without_its_content(key_file, content, told) -> None:
    key_file.path.parent.mkdir()
    key_file.path.write_bytes(content)
    with pytest.raises(KeyFileError) as caught:
        key_file.read()
    assert told in str(caught.value)
    assert str(key_file.path) in str(caught.value)
    assert "canary" not in str(caught.value).replace("damaged at secret-canary", "")


def test_a_damaged_file_is_never_written_over(issue, key_file) -> None:
    issue()
    key_file.path.write_text("{")
    with pytest.raises(KeyFileError):
        issue()
    assert key_file.path.read_text() == "{"


def test_revoking_twice_keeps_the_first_time_and_the_record(issue, key_file) -> None:
    key_id = issue().key.id
    first = revoke_key(key_file, key_id)
    assert revoke_key(key_file, key_id).revoked_at == first.revoked_at is not None
    assert len(key_file.read().keys) == 1


def test_a_rotation_keeps_id_client_and_limit_and_ends_the_old_text_after_the_overlap(issue, key_file) -> None:
    old = issue(tier="gold", requests_per_minute=7)
    new = rotate_key(key_file, old.key.id, timedelta(hours=1))
    assert new.text != old.text
    assert (new.key.id, new.key.client, new.key.tier, new.key.requests_per_minute) == (old.key.id, "acme", "gold", 7)
    first, second = new.key.secrets
    assert first.expires_at - second.created_at == timedelta(hours=1)
    assert second.expires_at is None


def test_a_second_rotation_does_not_lengthen_the_life_of_the_oldest_text(issue, key_file) -> None:
    key_id = issue().key.id
    ends = rotate_key(key_file, key_id, timedelta(hours=1)).key.secrets[0].expires_at
    oldest, middle, _ = rotate_key(key_file, key_id, timedelta(hours=2)).key.secrets
    assert oldest.expires_at == ends
    assert middle.expires_at > ends


def test_what_is_revoked_or_unknown_is_not_rotated(issue, key_file) -> None:
    key_id = issue().key.id
    revoke_key(key_file, key_id)
    with pytest.raises(UnknownKeyError, match="is revoked"):
        rotate_key(key_file, key_id, timedelta())
    with pytest.raises(UnknownKeyError, match="no key key-0"):
        rotate_key(key_file, "key-0", timedelta())
