"""``palaver health``, by its exit code and its words."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest


def test_a_server_that_answers_is_serving(palaver, server) -> None:
    done = palaver("health", PALAVER_ADDRESS=server.address)
    assert (done.returncode, done.stdout, done.stderr) == (0, "SERVING\n", "")


def test_a_loading_server_is_alive_and_not_serving(invoke, serve) -> None:
    loading = serve("--scripted-load", "600", wait_for='"event": "listening"')
    ready = invoke("health", "--address", loading.address)
    assert (ready.exit_code, ready.stdout, ready.stderr) == (1, "NOT_SERVING\n", "")
    assert invoke("health", "--address", loading.address, "--service", "palaver.live").exit_code == 0
    waited = invoke("health", "--address", loading.address, "--wait", "--timeout", "0.6")
    assert (waited.exit_code, waited.stdout) == (1, "NOT_SERVING\n")


def test_nobody_at_the_address_is_unreachable(palaver, tmp_path: Path) -> None:
    done = palaver("health", "--address", f"unix:{tmp_path}/none")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        f"Error: unix:{tmp_path}/none cannot be reached: No such file or directory. Is `palaver serve` running there?\n"
    )


def test_a_server_that_says_nothing_is_unreachable_after_the_timeout(palaver) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        done = palaver("health", "--address", address, "--timeout", "0.5")
    assert done.returncode == 3
    assert "no answer in time" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--service", "nobody"),
        ("--address", "localhost"),
        ("--address", "http://localhost:1"),
        ("--timeout", "0"),
        ("--wait", "--watch"),
        ("--client-key", "/dev/null"),
    ],
)
def test_wrong_use_is_told_from_ill_health(invoke, server, arguments: tuple[str, ...]) -> None:
    done = invoke("health", *arguments, PALAVER_ADDRESS=server.address)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Error: " in done.stderr


def test_wait_outlasts_the_start_of_the_server(start, serve, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    waiting = start("health", "--address", address, "--wait", "--timeout", "30")
    serve("--listen", address, "--scripted-load", "1")
    assert waiting.communicate(timeout=30) == ("SERVING\n", "")
    assert waiting.returncode == 0


def test_watch_prints_each_change_at_once_until_the_server_has_gone(start, serve) -> None:
    loading = serve("--scripted-load", "3", wait_for='"event": "listening"')
    watching = start("health", "--address", loading.address, "--watch")
    assert watching.stdout.readline() == "NOT_SERVING\n"
    assert watching.stdout.readline() == "SERVING\n"
    loading.stop()
    assert watching.stdout.readline() == "NOT_SERVING\n"
    assert watching.wait(20) == 3


def test_watch_ends_by_its_timeout_with_the_last_state(palaver, server) -> None:
    done = palaver("health", "--address", server.address, "--watch", "--timeout", "0.3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "SERVING\n", "")


def test_ctrl_c_ends_a_watch_without_a_word(start, server) -> None:
    watching = start("health", "--address", server.address, "--watch")
    assert watching.stdout.readline() == "SERVING\n"
    watching.send_signal(signal.SIGINT)
    assert watching.wait(20) == 130
    assert watching.stderr.read() == "\n"


def test_a_certificate_is_checked_with_the_authority_given(invoke, tls_server, certificate: tuple[Path, Path]) -> None:
    address, ca = ("--address", tls_server.address), ("--ca", str(certificate[0]))
    assert invoke("health", *address, *ca).stdout == "SERVING\n"
    plain = invoke("health", *address)
    assert plain.exit_code == 3
    assert "has a certificate, give --ca" in plain.stderr
    assert invoke("health", *address, "--tls").exit_code == 3


def test_a_client_certificate_is_shown_where_the_server_wants_one(
    invoke, serve, certificate: tuple[Path, Path]
) -> None:
    public, key = map(str, certificate)
    guarded = serve("--listen", "127.0.0.1:0", "--tls-cert", public, "--tls-key", key, "--tls-client-ca", public)
    assert invoke("health", "--address", guarded.address, "--ca", public).exit_code == 3
    shown = ("--client-cert", public, "--client-key", key)
    assert invoke("health", "--address", guarded.address, "--ca", public, *shown).stdout == "SERVING\n"


def test_a_probe_is_done_in_well_under_a_second(palaver, server) -> None:
    def seconds() -> float:
        began = time.monotonic()
        assert palaver("health", "--address", server.address).returncode == 0
        return time.monotonic() - began

    assert min(seconds() for _ in range(3)) < 1
