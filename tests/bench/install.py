"""``python -m tests.bench.install PEER...``: installs what a competitor needs and palaver does not.

Each gets an environment of its own under ``.cache/peers``, from a lock with hashes in ``locks/``. What it shares with
palaver, vLLM and torch above all, it takes from palaver's own environment, so that all serve from the same engine.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import click

from tests.bench.plan import ROOT
from tests.bench.processes import BenchError

FOLDER = ROOT / ".cache" / "peers"
LOCKS = Path(__file__).parent / "locks"
ENVIRONMENTS = tuple(sorted(lock.stem for lock in LOCKS.glob("*.lock")))
READY = "ready"
"""Written last: an installation that was broken off counts as none."""


def program(environment: str, name: str = "python") -> str:
    """A program of an environment.

    Raises:
        BenchError: the environment is not installed.
    """
    if not (FOLDER / environment / READY).exists():
        raise BenchError(f"{environment} is not installed: run python -m tests.bench.install {environment}")
    return str(FOLDER / environment / "bin" / name)


def packages(environment: str) -> str:
    """The folder of an environment's packages, for a client that needs one of them.

    Raises:
        BenchError: the environment is not installed.
    """
    return str(_packages(Path(program(environment)).parents[1]))


def install(environment: str) -> None:
    """Make an environment anew."""
    folder = FOLDER / environment
    venv.create(folder, clear=True, symlinks=True)
    uv = Path(sys.executable).with_name("uv")
    lock = LOCKS / f"{environment}.lock"
    command = [str(uv), "pip", "install", "--quiet", "--no-config", "--python", str(folder), "--no-deps"]
    subprocess.run([*command, "--require-hashes", "-r", str(lock)], check=True)
    # Its own packages come first. `addsitedir`, as palaver's environment has such files of its own.
    shared = str(Path(sysconfig.get_path("purelib")).resolve())
    (_packages(folder) / "shared.pth").write_text(f"import site; site.addsitedir({shared!r})\n")
    (folder / READY).touch()


def _packages(folder: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))


@click.command()
@click.argument("environments", nargs=-1, required=True, type=click.Choice(ENVIRONMENTS), metavar="ENVIRONMENT...")
def main(environments: tuple[str, ...]) -> None:
    """Install what competitors need: flask, smg."""
    for environment in environments:
        click.echo(f"Installing {environment} into {FOLDER / environment}")
        install(environment)


if __name__ == "__main__":
    main(prog_name="python -m tests.bench.install")
