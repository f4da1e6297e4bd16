from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from palaver_server.models import child

SLEEPS = "import time; print('here', flush=True); time.sleep(60)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"
HAS_A_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


class LeftError(Exception):
    pass


def run(
    *arguments: str,
    on_line: Callable[[str], None] = lambda _line: None,
    on_tick: Callable[[], None] = lambda: None,
) -> int:
    command = [sys.executable, "-c", *arguments]
    return child.run(command, environment=os.environ, folder=Path.cwd(), on_line=on_line, on_tick=on_tick)


def test_lines_come_whole_and_the_status_is_returned() -> None:
    lines: list[str] = []
    code = r"import sys; sys.stdout.buffer.write(b'one\r\ntwo \xff\n\nlast'); sys.exit(3)"
    assert run(code, on_line=lines.append) == 3
    assert lines == ["one", "two �", "", "last"]
    assert run("import os; os.kill(os.getpid(), 9)") == -9


def test_errors_are_lines_too_and_arguments_are_no_shell() -> None:
    lines: list[str] = []
    run("import sys; print(sys.argv[1], file=sys.stderr)", "$HOME; `ls`", on_line=lines.append)
    assert lines == ["$HOME; `ls`"]


def test_a_silent_child_is_ticked() -> None:
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(time.monotonic())
        if len(ticks) == 2:
            raise LeftError

    with pytest.raises(LeftError):
        run("import time; time.sleep(60)", on_tick=tick)
    assert ticks[1] - ticks[0] < 10 * child.TICK_SECONDS


@pytest.mark.parametrize(
    "arguments", [(SLEEPS,), (IGNORES_SIGTERM,), (HAS_A_CHILD, SLEEPS)], ids=["plain", "stubborn", "with a child"]
)
def test_a_caller_who_leaves_leaves_no_process(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    monkeypatch.setattr(child, "END_SECONDS", 0.3)
    left: list[psutil.Process] = []

    def leave(line: str) -> None:
        assert line == "here"
        left.extend(set(psutil.Process().children(recursive=True)) - set(others))
        raise LeftError

    others = psutil.Process().children(recursive=True)  # other tests' servers and the like
    began = time.monotonic()
    with pytest.raises(LeftError):
        run(*arguments, on_line=leave)
    assert len(left) == len(arguments)
    _gone, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []
    assert time.monotonic() - began < 30
