"""A real server with the settings to be tried, in a process of its own, and what it does under load."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from palaver_client import AsyncClient, errors
from palaver_server.settings import CONFIG_VARIABLE, ENVIRONMENT_PREFIX, Settings
from palaver_server.settings.admission import AdmissionSettings
from palaver_server.settings.defaults import DefaultSettings
from palaver_server.settings.forms import FormSettings
from palaver_server.settings.model import ModelSettings
from palaver_server.settings.scripted import ScriptedSettings
from palaver_server.settings.streams import StreamSettings
from palaver_server.tuning.knobs import Candidate, Knob
from palaver_server.tuning.load import Load, Measured
from palaver_server.tuning.settings_file import with_values
from palaver_server.tuning.traffic import Traffic

DECIDING = (ModelSettings, AdmissionSettings, StreamSettings, FormSettings, DefaultSettings, ScriptedSettings)
"""Groups that decide about speed. Keys, certificates, logs and sockets of the operator's stay out of a trial."""
START_SECONDS = 1800.0
"""Loading hundreds of GB from a network disk takes that long; who has less time has a budget."""
END_SECONDS = 20.0
"""What vLLM's processes get to end by themselves."""
LAST_LINES = 3


class TrialError(Exception):
    """The server did not start, or did not answer. One sentence with the reason."""


class Trials:
    """Tries candidates, one at a time.

    Args:
        settings: the operator's.
        vllm_arguments: flags for vLLM, as they stood on the command line.
        traffic: what is asked.
        knobs: says which value is whose.
        warm_up: seconds before counting.
        seconds: of counting.
    """

    def __init__(
        self,
        settings: Settings,
        vllm_arguments: Sequence[str],
        traffic: Traffic,
        knobs: Sequence[Knob],
        *,
        warm_up: float,
        seconds: float,
    ) -> None:
        self._settings = settings
        self._vllm_arguments = vllm_arguments
        self._traffic = traffic
        self._vllm_names = {knob.name for knob in knobs if knob.is_vllm}
        self._warm_up, self._seconds = warm_up, seconds
        self._serial = 0

    async def run(self, candidate: Candidate) -> Measured:
        """Start a server, measure, end it.

        Raises:
            TrialError: it does not serve with these settings.
        """
        self._serial += 1
        with tempfile.TemporaryDirectory(prefix="palaver-tune-") as name:
            async with (
                self._server(Path(name), candidate) as address,
                AsyncClient(address, api_key="", retry=None) as client,  # refused calls are counted, not tried again
            ):
                load = Load(client, self._traffic, self._serial, ignores_end=self._settings.engine == "vllm")
                try:
                    await load.fit()
                    return await load.measure(self._warm_up, self._seconds)
                except errors.PalaverClientError as error:
                    raise TrialError(error.message) from error

    def split(self, candidate: Candidate) -> tuple[dict[str, object], dict[str, object]]:
        """Its values for palaver, and those for vLLM."""
        ours: dict[str, object] = {name: value for name, value in candidate.items() if name not in self._vllm_names}
        return ours, {name: value for name, value in candidate.items() if name in self._vllm_names}

    @asynccontextmanager
    async def _server(self, folder: Path, candidate: Candidate) -> AsyncIterator[str]:
        config, log, address = folder / "trial.toml", folder / "log", f"unix:{folder}/s"
        config.write_text(self._config(candidate, folder, address), encoding="utf-8")
        environment = {n: v for n, v in os.environ.items() if not n.upper().startswith(ENVIRONMENT_PREFIX)}
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                # It ends when this process does, however that happens.
                *(sys.executable, "-m", "palaver_server.edge.leash", str(os.getpid())),
                *(sys.executable, "-m", "palaver_server", "serve", *self._vllm_arguments),
                env={**environment, CONFIG_VARIABLE: str(config)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # Ctrl-C is for the command alone, which then ends the server
            )
        try:
            await self._ready(process, address, log)
            yield address
        finally:
            await asyncio.shield(_end(process))

    def _config(self, candidate: Candidate, folder: Path, address: str) -> str:
        names = [name for group in DECIDING for name in group.model_fields if name in self._settings.model_fields_set]
        set_by_hand = {name: getattr(self._settings, name) for name in names if name != "vllm"}
        ours, vllm = self.split(candidate)
        values: Mapping[str, object] = {
            **{name: value for name, value in set_by_hand.items() if value is not None},
            **ours,
            "listen": address,
            "metrics_listen": "",
            "state_dir": folder,
            "cache_dir": self._settings.cache_dir.expanduser(),
            "engine_stall": self._settings.engine_stall,
            "grace": 0.0,
            "log_format": "json",
        }
        return with_values("", values, {**self._settings.vllm, **vllm}, "")

    async def _ready(self, process: asyncio.subprocess.Process, address: str, log: Path) -> None:
        async with AsyncClient(address, api_key="") as client:
            ready = asyncio.create_task(client.wait_until_ready(timeout=START_SECONDS))
            ended = asyncio.create_task(process.wait())
            try:
                await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not ready.done() or ready.exception() is not None:
                    raise TrialError(f"the server does not start: {_cause(log)}")
            finally:
                for task in (ready, ended):
                    task.cancel()
                await asyncio.gather(ready, ended, return_exceptions=True)


async def _end(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
                return


def _cause(log: Path) -> str:
    """What the server's log says last about an error; its last lines where it names none."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in reversed(lines):
        with suppress(ValueError, AttributeError):
            if cause := json.loads(line).get("cause"):
                return str(cause)
    return " ".join(lines[-LAST_LINES:]) or "it says nothing"
