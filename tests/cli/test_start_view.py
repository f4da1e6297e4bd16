"""What ``palaver serve`` shows of its start, at a terminal and in a pipe."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

from palaver_server.cli.start_view import Security, commands_to_paste

NONE, TLS, MUTUAL = Security(False, False), Security(True, False), Security(True, True)


def test_a_terminal_shows_a_bar_then_what_to_type_and_each_call_in_a_line(terminal, invoke, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    screen = terminal("serve", "--engine", "scripted", "--scripted-load", "1.5", "--listen", address)
    screen.until(f"Listening on {address}; the model is loading")
    invoke("chat", "--no-wait", "hi", PALAVER_ADDRESS=address)
    screen.until("StreamChat UNAVAILABLE ")
    screen.until("starting the engine")
    screen.until("Ready after")
    assert f"scripted at {address}" in screen.until("Ctrl-C ends the server.")
    invoke("chat", "one two", PALAVER_ADDRESS=address)
    line = screen.until("StreamChat OK") + screen.until("\n")
    assert "6+2 tokens  stop  unix:  " in line
    assert "time=" not in line
    screen.type("\x03")
    screen.until("Stopping; answers under way may end first.")
    assert screen.end() == 0
    assert "Traceback" not in screen.text


def test_log_lines_stand_whole_above_the_bar(terminal, invoke, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    screen = terminal("serve", "--engine", "scripted", "--scripted-load", "600", "--listen", address)
    screen.until("Listening")
    for _ in range(3):
        invoke("count", "--no-wait", "hi", PALAVER_ADDRESS=address)
        screen.until("CountTokens UNAVAILABLE")
        screen.until("starting the engine")
    # A line of the log that begins in the middle of the bar, or ends in it, has the bar's blocks in it.
    lines = [line for part in screen.text.split("\n") for line in part.split("\r") if "CountTokens" in line]
    assert len(lines) == 3
    for line in lines:
        assert line.split()[1:3] == ["CountTokens", "UNAVAILABLE"]
        assert "\u2501" not in line
    screen.type("\x03")
    assert screen.end() == 0


def test_a_failed_start_leaves_no_bar_behind(terminal, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    failing = ("--scripted-load", "0.5", "--scripted-load-error", "No luck.")
    screen = terminal("serve", "--engine", "scripted", "--listen", address, *failing)
    screen.until("No luck.")
    assert screen.end() == 1
    assert screen.raw.count("\x1b[?25l") == screen.raw.count("\x1b[?25h"), "the cursor must come back"
    assert "Ready" not in screen.text


def test_an_address_that_is_taken_is_one_line(terminal, server) -> None:
    screen = terminal("serve", "--engine", "scripted", "--listen", server.address)
    assert screen.end() == 1
    assert "Traceback" not in screen.text
    assert server.address.rpartition("/")[2] in screen.text


def test_a_pipe_gets_a_line_a_phase_and_the_log_as_json(server) -> None:
    server.said("Try it in a second terminal:")
    plain = [line for line in server.lines if not line.startswith("{")]
    assert plain[0] == f"Listening on {server.address}; the model is loading"
    assert "starting the engine" in plain
    assert not any("\x1b" in line or "\r" in line for line in server.lines)
    ready = json.loads(server.said('"event": "ready"'))
    assert (ready["model"], ready["address"]) == ("scripted", server.address)


def test_the_command_to_paste_works(server, environment: dict[str, str], tmp_path: Path) -> None:
    command = shlex.split(next(line for line in server.lines if " chat --address " in line))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "What is the capital of France?\n"


def test_commands_to_paste_fit_the_way_to_the_server() -> None:
    chat, listing, call = commands_to_paste("127.0.0.1:50051", NONE)
    assert "--address" not in chat
    assert shlex.split(listing) == ["grpcurl", "-plaintext", "127.0.0.1:50051", "list"]
    assert json.loads(shlex.split(call)[3])["messages"][0]["role"] == "ROLE_USER"
    assert shlex.split(commands_to_paste("unix:/a b/s", NONE)[1])[2:] == ["unix:/a b/s", "list"]
    chat, listing, _ = commands_to_paste("10.0.0.1:1", TLS)
    assert "--ca CA.pem" in chat
    assert "-plaintext" not in listing
    chat, listing, _ = commands_to_paste("10.0.0.1:1", MUTUAL)
    assert "--client-key KEY.pem" in chat
    assert "-key KEY.pem" in listing


def test_a_failure_is_logged_for_people_without_the_values_of_variables(environment: dict[str, str]) -> None:
    program = (
        "import logging, structlog\n"
        "from palaver_server.telemetry.log import configure_logging\n"
        "configure_logging('info', 'console')\n"
        "def fail(prompt):\n"
        "    raise RuntimeError('broken')\n"
        "try:\n"
        "    fail('se' + 'same')\n"
        "except RuntimeError:\n"
        "    structlog.get_logger('palaver.app').exception('a handler failed', method='/x/Y')\n"
        "logging.getLogger('other').warning('from %s', 'a library')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    lines = done.stderr.splitlines()
    assert lines[0].split(maxsplit=1)[1] == "error a handler failed method=/x/Y"
    assert "RuntimeError: broken" in lines
    assert lines[-1].split(maxsplit=1)[1] == "warning from a library"
    assert "sesame" not in done.stderr
    assert "\x1b" not in done.stderr
