"""What is taken out of logged texts, and what only looks like it."""

from __future__ import annotations

import pytest

from palaver_server.core.identity.key_text import new_key_text
from palaver_server.telemetry.redaction import CARD, KEY, MAIL, PHONE, redacted

FOUND = [
    ("a key of ours", f"use {new_key_text()} please", f"use {KEY} please"),
    ("OpenAI's old form", "sk-abcdefghijklmnopqrstuvwxyz0123456789ABCD", KEY),
    ("OpenAI's new form", "OPENAI_API_KEY=sk-proj-Ab3_dE-fGhIjKlMnOpQrStUvWxYz", f"OPENAI_API_KEY={KEY}"),
    ("Anthropic's", "key: sk-ant-api03-AbCdEfGhIjKlMnOpQrStUv", f"key: {KEY}"),
    ("Stripe's", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", KEY),
    ("GitHub's", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", KEY),
    ("Hugging Face's", "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", KEY),
    ("AWS's", "id AKIAIOSFODNN7EXAMPLE.", f"id {KEY}."),
    ("Slack's", "xoxb-17653672481-19874698323", KEY),
    ("in a header", "Authorization: Bearer mF_9.B5f-4.1JqM7aQ", f"Authorization: Bearer {KEY}"),
    (
        "a JSON Web Token",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        KEY,
    ),
    ("a private key", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nx", f"{KEY}\nx"),
    ("a private key that is cut off", "-----BEGIN PRIVATE KEY-----\nMIIE\nabc", KEY),
    ("a mail address", "write to ada.lovelace+x@maths.example.org.", f"write to {MAIL}."),
    ("one in brackets", "<ada@example.com>, bob@example.co.uk", f"<{MAIL}>, {MAIL}"),
    ("one of another script", "почта@пример.рф", MAIL),
    ("a card", "pay with 4111 1111 1111 1111 now", f"pay with {CARD} now"),
    ("with dashes", "5500-0055-5555-5559", CARD),
    ("of 15 digits", "378282246310005", CARD),
    ("an international number", "call +49 30 901820, thanks", f"call {PHONE}, thanks"),
    ("one with brackets", "+1 (415) 555-2671", PHONE),
    ("without spaces", "tel:+442083661177", f"tel:{PHONE}"),
    ("two", "+33 1 42 68 53 00 or +81 3-3210-7000", f"{PHONE} or {PHONE}"),
]
NOT_FOUND = [
    *("sk-learn and task-list and risk-averse", "the sk-prefix is short", "Bearer of bad news"),
    *("@decorator", "user@localhost", "a @ b", "x@y", "git@github", "f(x)@g", "3@2.5"),
    *("4111 1111 1111 1112", "1234567890123456", "0000 0000 0000 0000", "order 20241231235959"),
    *("ISBN 978-3-16-148410-0", "3.14159265358979323846", "192.168.100.200", "2026-11-22 21:04:29.123456"),
    *("1,234,567.89", "version 4.57.1.20251122", "+1 point", "2+2=4", "+100 %", "C++17", "10+20+30"),
    *("550e8400-e29b-41d4-a716-446655440000", "0x7fffffffffffffff", "sha256:9f86d081884c7d659a2feaa0c55ad015"),
    *("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13", "temperature 0.7, top_p 0.95, max 2048"),
    *("palaver_calls_total", "palaver_server.core.identity", "hf_transfer", "AKIA", "ghp_short"),
]


@pytest.mark.parametrize(("text", "left"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
def test_what_is_taken_out(text: str, left: str) -> None:
    assert redacted(text) == left


@pytest.mark.parametrize("text", NOT_FOUND)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert redacted(text) == text


def test_numbers_of_a_country_are_found_where_it_is_named() -> None:
    text = "ring (415) 555-2671 after 10:30"
    assert redacted(text) == text
    assert redacted(text, "US") == f"ring {PHONE} after 10:30"


def test_a_long_text_does_not_take_long() -> None:
    """Rules that look at every place again and again would need hours for this."""
    for piece in ("a" * 50, "1 " * 50, "x@" * 50, "-----BEGIN ", "eyJ" * 30, "+1 "):
        text = piece * (16_000 // len(piece))
        assert len(redacted(text)) <= len(text) + 100
