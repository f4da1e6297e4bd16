"""What stands in the environment before vLLM is imported, and the folder that an engine's own files live in.

vLLM reads its switches from environment variables, some of them while it is imported, and its child processes inherit
them. This module imports nothing heavy: it is also read in every child process of an engine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# An underscore leads: they are no settings, and a server that is started below another one must not take them for such.
OWNER_VARIABLE = "_PALAVER_ENGINE_OWNER_PID"
"""Process id of the server: an engine process whose owner is gone ends itself."""
FOLDER_VARIABLE = "_PALAVER_ENGINE_FOLDER"
"""The engine's folder, for sockets and temporary files of all its processes."""

COMPILER_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"
"""The folder of torch's compiler."""

MAX_FOLDER_LENGTH = 70
"""A Unix socket's path has 108 bytes at most (``sun_path`` in unix(7)); vLLM appends a UUID of 36."""
ALWAYS_SHORT = "/tmp"  # noqa: S108  # mkdtemp makes a folder of its own there, readable by nobody else


def make_engine_folder() -> Path:
    """Make a folder for one engine's sockets and temporary files, readable by this user alone.

    vLLM leaves seven sockets behind at every start; they go with the folder.
    """
    base = tempfile.gettempdir()
    if len(os.fsencode(base)) > MAX_FOLDER_LENGTH - len("/palaver-4194304-xxxxxxxx"):
        base = ALWAYS_SHORT
    remove_abandoned_folders(Path(base))
    return Path(tempfile.mkdtemp(prefix=f"palaver-{os.getpid()}-", dir=base))


def remove_abandoned_folders(base: Path) -> None:
    """Remove what servers left that were killed before any process of their engine could clear up after them."""
    for folder in base.glob("palaver-[0-9]*-*"):
        owner = folder.name.split("-")[1]
        with suppress(OSError):  # another user's, or gone meanwhile
            if folder.stat().st_uid == os.getuid() and not Path("/proc", owner).exists():
                remove_engine_folder(folder)


def remove_engine_folder(folder: Path) -> None:
    """Remove the folder with what is in it; harmless where it is gone already."""
    shutil.rmtree(folder, ignore_errors=True)


def forget_engine_folder(folder: Path) -> None:
    """Have this process not make the folder anew: torch does while it is imported, and an import cannot be stopped.

    It makes a folder of its own choice where it is told of none, and none where it is told of one that is there.
    """
    if os.environ.get(COMPILER_VARIABLE) == _compiler_folder(folder):
        os.environ[COMPILER_VARIABLE] = tempfile.gettempdir()


def _compiler_folder(folder: Path) -> str:
    return str(folder / "torchinductor")


def set_variables(folder: Path, *, is_local_model: bool) -> None:
    """Set this process's environment for vLLM; what the operator has set stays where it is theirs to choose."""
    os.environ[OWNER_VARIABLE] = str(os.getpid())
    os.environ[FOLDER_VARIABLE] = str(folder)
    # Sockets between the processes belong into the engine's folder, not among everybody's temporary files.
    os.environ["VLLM_RPC_BASE_PATH"] = str(folder)
    # torch would make a folder of a name that anybody can foresee in the common one for temporary files. What is worth
    # keeping of its compiler, vLLM puts into its own cache.
    if os.environ.get(COMPILER_VARIABLE) in (None, tempfile.gettempdir()):
        os.environ[COMPILER_VARIABLE] = _compiler_folder(folder)
    # Forking is not safe once gRPC has threads.
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    # vLLM would give its loggers handlers of their own, on standard output. Without them its records go up to the root
    # logger, which the server has set up: one format for all.
    os.environ["VLLM_CONFIGURE_LOGGING"] = "0"
    # vLLM and the Hub's client send statistics about the machine out unless told not to.
    for opt_out in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(opt_out, "1")
    # vLLM asks the routing table for this machine's address by connecting a datagram socket to a public one. Nothing is
    # sent, but it looks as if; engines that span several machines have the address set by their operator.
    os.environ.setdefault("VLLM_HOST_IP", "127.0.0.1")
    if is_local_model:
        # Nothing is missing in a local folder, so nothing is worth asking the network for.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


@contextmanager
def unchanged(*names: str) -> Iterator[None]:
    """Put these variables back afterwards: vLLM sets some for its own children that are wrong for everybody else's."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
