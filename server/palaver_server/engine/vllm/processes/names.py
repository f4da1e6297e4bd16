"""How processes of an engine are told from others in lists of processes."""

from __future__ import annotations

from contextlib import suppress


def take_name(name: str) -> None:
    """Name this process ``palaver::NAME``, as vLLM names its own.

    A fork can take a name of its own only if the process that it is a fork of has one: the library finds where the name
    is written when it writes the first, which it could not after ``os.environ`` was written anew.
    """
    with suppress(ImportError):
        import setproctitle  # noqa: PLC0415  # comes with vLLM

        setproctitle.setproctitle(f"palaver::{name}")
