from __future__ import annotations

import hashlib

import pytest

from palaver_server.core.identity.key_text import LENGTH, PREFIX, is_well_formed, key_hash, new_key_text


def test_a_new_key_is_recognisable_whole_and_unlike_any_other() -> None:
    texts = {new_key_text() for _ in range(500)}
    assert len(texts) == 500
    assert all(text.startswith(PREFIX) and len(text) == LENGTH and is_well_formed(text) for text in texts)


def test_every_single_wrong_character_is_told_by_the_checksum() -> None:
    text = new_key_text()
    for place in range(LENGTH):
        wrong = "A" if text[place] != "A" else "B"
        assert not is_well_formed(text[:place] + wrong + text[place + 1 :])


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: t + "0", lambda t: t.upper(), lambda t: f" {t}"])
def test_a_key_that_was_cut_or_changed_is_malformed(change) -> None:
    assert not is_well_formed(change(new_key_text()))


@pytest.mark.parametrize("text", ["", PREFIX, "sk-proj-abc", "palaver_" + "é" * 49, "palaver_" + "\0" * 49])
def test_what_was_never_a_key_is_malformed(text) -> None:
    assert not is_well_formed(text)


def test_what_is_stored_is_the_sha256_of_the_whole_key() -> None:
    text = new_key_text()
    assert key_hash(text) == hashlib.sha256(text.encode()).hexdigest()
