"""Whoever shows people how a start goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from palaver_server.core.model import LoadProgress


class Announcer(Protocol):
    """Is told how a start goes on."""

    def listening(self, address: str) -> None:
        """The port answers health, reflection and GetModel; chats are refused until ``ready``."""

    def edge_listening(self, address: str, status_address: str, ca: Path | None) -> None:
        """The edge answers at its TLS port; clients need this authority, where it is one of our own."""

    def progress(self, progress: LoadProgress) -> None:
        """The load has come this far."""

    def ready(self, address: str, model_id: str, seconds: float) -> None:
        """Chats are answered now, so long after the process began."""

    def close(self) -> None:
        """The start is over, whatever came of it."""
