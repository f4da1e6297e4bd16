"""``palaver log-level`` with a real server."""

from __future__ import annotations

import json
import stat
from pathlib import Path


def socket_of(server) -> Path:
    return Path(json.loads(server.said('"event": "control socket"'))["address"].removeprefix("unix:"))


def test_the_level_is_shown_and_changed_while_the_server_runs(serve, palaver, tmp_path: Path) -> None:
    server = serve("--state-dir", str(tmp_path))
    ask = ("log-level", "--control-socket", str(socket_of(server)))
    assert stat.S_IMODE(socket_of(server).stat().st_mode) == 0o600
    assert palaver(*ask).stdout == "info\n"
    assert palaver("health", "--address", server.address).returncode == 0
    assert palaver(*ask, "debug").stdout == "debug\n"
    server.said('"event": "log level changed"')
    assert not server.calls("Check")
    assert palaver("health", "--address", server.address).returncode == 0
    server.said("grpc.health.v1.Health/Check")  # probes' lines are of the level debug
    assert palaver(*ask, "error").stdout == "error\n"
    since = len(server.lines)
    assert palaver("chat", "--address", server.address, "hi").returncode == 0
    assert palaver(*ask, "info").stdout == "info\n"
    assert not server.calls("StreamChat", since)
    assert palaver("chat", "--address", server.address, "hi").returncode == 0
    server.said("StreamChat", since)


def test_it_finds_the_socket_of_the_state_folder(serve, palaver, tmp_path: Path) -> None:
    serve("--state-dir", str(tmp_path))
    assert palaver("log-level", PALAVER_STATE_DIR=str(tmp_path)).stdout == "info\n"


def test_a_level_that_is_none_and_a_socket_that_nobody_has(palaver, tmp_path: Path) -> None:
    wrong = palaver("log-level", "loud")
    assert wrong.returncode == 2
    assert "debug" in wrong.stderr
    gone = palaver("log-level", "--socket", str(tmp_path / "s"))
    assert gone.returncode == 3
    assert "no server of yours listens there" in gone.stderr
    assert palaver("log-level", PALAVER_CONTROL_SOCKET="").returncode == 2


def test_two_servers_of_one_state_folder_share_no_socket(serve, palaver, tmp_path: Path) -> None:
    first = serve("--state-dir", str(tmp_path))
    second = serve("--state-dir", str(tmp_path))
    assert "another process listens there" in second.said("no control socket")
    palaver("log-level", "--socket", str(socket_of(first)), "debug")
    first.said("log level changed")
    assert not [line for line in second.lines if "log level changed" in line]
