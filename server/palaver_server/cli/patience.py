"""Waits, visibly, where a failed call is worth another try: the model loads, or the server is full."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from palaver.v1 import model_pb2
from palaver_client import Client, errors

POLL_SECONDS = 0.5
MAX_WAIT_SECONDS = 60.0
"""Longest time that a full server may ask for; a quota of the day is not waited for."""
MAX_TRIES = 5

T = TypeVar("T")


class Patience:
    """Decides, for the calls of one command, whether a failure is waited out.

    Args:
        client: who calls.
        is_willing: False gives up at once.
    """

    def __init__(self, client: Client, *, is_willing: bool) -> None:
        self._client = client
        self._is_willing = is_willing
        self._tries = 0

    def renew(self) -> None:
        """Begin anew with another question of the same command."""
        self._tries = 0

    def call(self, call: Callable[[], T]) -> T:
        """Call, and call again after each failure that is worth waiting for."""
        self.renew()
        while True:
            try:
                return call()
            except errors.PalaverClientError as error:
                if not self.outlasts(error):
                    raise

    def outlasts(self, error: errors.PalaverClientError) -> bool:
        """Wait until the call is worth another try; False if it is not.

        Raises:
            errors.PalaverClientError: the server went away meanwhile, or its model cannot be loaded.
        """
        self._tries += 1
        if not self._is_willing or self._tries > MAX_TRIES:
            return False
        if isinstance(error, errors.Unavailable) and error.reason == "MODEL_LOADING":
            self.wait_for_model()
            return True
        if isinstance(error, errors.Overloaded) and error.retry_after is not None:
            return _wait_for_room(error.retry_after)
        return False

    def wait_for_model(self) -> model_pb2.Model:
        """Show how far the load is until the model answers, and give what the server tells of it.

        Raises:
            errors.PalaverClientError: the server went away, or the model cannot be loaded.
        """
        model = self._client.get_model()
        if model.state != model_pb2.MODEL_STATE_LOADING or not self._is_willing:
            return model
        console = Console(stderr=True)
        if not console.is_terminal:
            click.echo(f"Waiting for {model.id}: it is being loaded.", err=True)
        columns = (SpinnerColumn(), BarColumn(bar_width=30), TimeElapsedColumn(), TextColumn("{task.description}"))
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("", total=1.0)
            while model.state == model_pb2.MODEL_STATE_LOADING:
                at = model.load_progress
                progress.update(task, completed=at.fraction, description=f"{model.id}: {_phase(at)}")
                time.sleep(POLL_SECONDS)
                model = self._client.get_model()
        if model.state == model_pb2.MODEL_STATE_FAILED:
            raise errors.Unavailable(model.failure.message or f"{model.id} could not be loaded", reason="MODEL_FAILED")
        return model


def _wait_for_room(seconds: float) -> bool:
    if seconds > MAX_WAIT_SECONDS:
        return False
    click.echo(f"The server is full; trying again in {seconds:.0f} s. Ctrl-C gives up.", err=True)
    sys.stderr.flush()
    time.sleep(seconds)
    return True


def _phase(progress: model_pb2.LoadProgress) -> str:
    """``LOAD_PHASE_LOADING_WEIGHTS`` is "loading weights"; one that this program is too old to know is "loading"."""
    known = model_pb2.LoadPhase.values()
    name = model_pb2.LoadPhase.Name(progress.phase) if progress.phase and progress.phase in known else "LOADING"
    return name.removeprefix("LOAD_PHASE_").replace("_", " ").lower()
