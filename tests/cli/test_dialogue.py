"""``palaver chat`` as a conversation, at a pseudo-terminal."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

PROMPT = "\n> "


@pytest.fixture
def talk(terminal, tmp_path: Path):
    """Begin a conversation whose history is the test's own; returns at the first prompt."""

    def begin(address: str, *flags: str):
        screen = terminal("chat", *flags, PALAVER_ADDRESS=address, PALAVER_STATE_DIR=str(tmp_path / "state"))
        screen.until(PROMPT)
        return screen

    return begin


def leave(screen) -> None:
    screen.until(PROMPT)
    screen.type("\x04")
    assert screen.end() == 0


def prompt_tokens(screen) -> int:
    screen.type("/stats\r")
    return int(re.search(r"\((\d+) prompt tokens", screen.until("in all)"))[1])


def test_a_conversation_remembers_what_was_said(talk, server) -> None:
    screen = talk(server.address)
    assert "scripted at unix:" in screen.text
    screen.type("one two three\r")
    screen.until("\none two three\n")
    first = prompt_tokens(screen)
    screen.type("four\r")
    screen.until("\nfour\n")
    assert prompt_tokens(screen) == first + (4 + 3) + (4 + 1)  # the answer, and the new question
    screen.type("/reset\r")
    screen.until("(forgotten)")
    screen.type("four\r")
    screen.until("\nfour\n")
    assert prompt_tokens(screen) == 4 + 1
    leave(screen)


def test_ctrl_c_stops_the_answer_and_not_the_conversation(talk, slow_server) -> None:
    screen = talk(slow_server.address)
    for _ in range(2):
        seen = len(slow_server.lines)
        screen.type("tell me\r")
        screen.until("The quick brown fox")
        screen.type("\x03")
        screen.until("(stopped)")
        slow_server.said("CANCELLED", since=seen)
        screen.until(PROMPT)
    screen.type("/exit\r")
    assert screen.end() == 0


def test_ctrl_c_at_the_prompt_drops_the_line_alone(talk, server) -> None:
    screen = talk(server.address)
    screen.type("half a que\x03")
    screen.until(PROMPT)
    screen.type("whole\r")
    screen.until("\nwhole\n")
    leave(screen)


def test_lines_are_put_together_by_backslash_alt_enter_and_pasting(talk, server) -> None:
    screen = talk(server.address)
    for keys, answer in {
        "a\\\rb\r": "\na\nb\n",
        "c\x1b\rd\r": "\nc\nd\n",
        "\x1b[200~e\nf\x1b[201~\r": "\ne\nf\n",
    }.items():
        screen.type(keys)
        screen.until(answer)
        screen.until(PROMPT)
    screen.type("/exit\r")
    assert screen.end() == 0


def test_commands_change_the_conversation(talk, server) -> None:
    screen = talk(server.address, "--system", "Be brief.", "--max-output-tokens", "2")
    for keys, shown in {
        "/system\r": "(Be brief.)",
        "/system Be very kind.\r": "(Be very kind.)",
        "/retry\r": "Nothing was asked yet.",
        "hello you there\r": "(cut off at 2 tokens)",
        "/stats on\r": "(14 prompt tokens",
        "/retry \r": "(14 prompt tokens",  # the first answer is taken back
        "/model\r": "(scripted)",
        "/model nobody\r": "nobody",
        "/nothing\r": "There is no command /nothing; /help lists",
        "/help\r": "/retry",
        "/etc/passwd is a file\r": "\n/etc/passwd is\n",
    }.items():
        screen.type(keys)
        screen.until(shown)
        screen.until(PROMPT)
    screen.type("/quit\r")
    assert screen.end() == 0


def test_a_failed_answer_leaves_the_conversation_as_it_was(talk, failing_server) -> None:
    screen = talk(failing_server.address)
    for _ in range(2):
        screen.type("hi\r")
        screen.until("[request ")
        screen.until(PROMPT)
    screen.type("/stats\r")
    screen.until("(nothing was asked yet)")
    leave(screen)


def test_a_server_that_went_away_does_not_end_the_conversation(talk, serve) -> None:
    leaving = serve()
    screen = talk(leaving.address)
    leaving.stop()
    screen.type("hi\r")
    screen.until("cannot be reached")
    leave(screen)


def test_what_is_typed_is_kept_for_its_writer_alone(talk, server, tmp_path: Path) -> None:
    screen = talk(server.address)
    screen.type("my secret plan\r")
    screen.until("\nmy secret plan\n")
    leave(screen)
    history = tmp_path / "state" / "chat_history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700
    again = talk(server.address, "--no-history")
    again.type("\x1b[A\r")  # up: nothing is there
    again.type("unkept\r")
    again.until("\nunkept\n")
    leave(again)
    assert "unkept" not in history.read_text()
    third = talk(server.address)
    third.type("\x1b[A\r")
    third.until("\nmy secret plan\n")
    leave(third)


def test_a_history_that_grew_large_loses_its_older_half(talk, server, tmp_path: Path) -> None:
    history = tmp_path / "state" / "chat_history"
    history.parent.mkdir()
    history.write_text("".join(f"\n# 2030-01-01 00:00:00\n+question {number:06}\n" for number in range(30_000)))
    history.chmod(0o644)
    screen = talk(server.address)
    screen.type("\x1b[A\r")
    screen.until("\nquestion 029999\n")
    leave(screen)
    kept = history.read_text()
    assert len(kept) < 600_000
    assert kept.startswith("\n# 2030")
    assert "question 029999" in kept
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_a_history_that_cannot_be_kept_is_said_once(terminal, server, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    screen = terminal("chat", PALAVER_ADDRESS=server.address, PALAVER_STATE_DIR=str(tmp_path / "state"))
    screen.until("No history is kept")
    screen.until(PROMPT)
    screen.type("hello\r")
    screen.until("\nhello\n")
    leave(screen)


def test_a_loading_model_is_waited_for_with_a_bar(terminal, serve) -> None:
    loading = serve("--scripted-load", "2", wait_for='"event": "listening"')
    screen = terminal("chat", PALAVER_ADDRESS=loading.address)
    screen.until("scripted: starting engine")
    screen.until("scripted at unix:")
    leave(screen)
