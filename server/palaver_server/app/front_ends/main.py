"""What runs in one of the other front ends. The process ends with its owner, however that ends."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import structlog

from palaver_server.app.front_ends.channel import Channel, Message
from palaver_server.app.front_ends.share import Place
from palaver_server.app.lifecycle import EXIT_CLEAN, EXIT_FAILED, App
from palaver_server.app.wiring import new_engine
from palaver_server.core.engine import Engine
from palaver_server.core.identity.key_file import KeyFileError
from palaver_server.core.limits.shared_buckets import SharedBuckets
from palaver_server.core.model import LoadPhase, LoadProgress
from palaver_server.edge.leash import tie_to
from palaver_server.rpc.listener import ListenError
from palaver_server.settings import Settings, SettingsError
from palaver_server.telemetry.log import configure_logging, set_level

log = structlog.get_logger("palaver.app")

COUNT_SECONDS = 1.0
"""How often the first is told how many answers the engine writes for this one."""


class Told:
    """Tells the first front end how the start goes on; it has the announcing to do."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def listening(self, address: str) -> None:
        """Of no interest: it is the first one's address."""

    def edge_listening(self, address: str, status_address: str, ca: Path | None) -> None:
        """There is no edge here."""

    def progress(self, progress: LoadProgress) -> None:
        """Of no interest: the first has the load to tell of."""

    def ready(self, address: str, model_id: str, seconds: float) -> None:
        """Calls are answered."""
        self._channel.tell("ready")

    def close(self) -> None:
        """The start is over."""


async def serve(channel: Channel, begin: Message, limits: int) -> int:
    """Serve until the first front end says so, or a failure; return the exit code."""
    settings = Settings.model_validate(begin["settings"])
    configure_logging(settings.log_level, settings.log_format, repeat_limit=settings.log_repeat_limit)
    structlog.contextvars.bind_contextvars(front_end=begin["index"])
    invitation: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
    place = Place(begin["index"], settings.front_ends, SharedBuckets(limits))
    try:
        engine = new_engine(settings, begin["vllm_arguments"], place=place, invitation=invitation)
        app = App(settings, engine, Told(channel), place=place)
        companions = [
            asyncio.create_task(_obey(channel, app, engine, invitation), name="channel"),
            asyncio.create_task(_tell_counts(channel, engine), name="counts"),
        ]
        code = await app.run()
    except (KeyFileError, ListenError, SettingsError) as error:
        log.error("a front end cannot start", cause=str(error))  # noqa: TRY400  # a sentence, not a trace
        return EXIT_FAILED
    for companion in companions:
        companion.cancel()
    await asyncio.gather(*companions, return_exceptions=True)
    return code


async def _obey(channel: Channel, app: App, engine: Engine, invitation: asyncio.Future[dict[str, str]]) -> None:
    while (message := await channel.hear()) is not None:
        match message["what"]:
            case "invitation":
                invitation.set_result(message["invitation"])
            case "progress":
                phase = LoadPhase[message["phase"]]
                app.hear_progress(LoadProgress(phase, message["fraction"], message["detail"]))
            case "log level":
                set_level(message["level"])
            case "engine failed":
                engine.give_up(message["cause"])
            case "stop":
                app.ask_to_stop()
            case "figures?":
                families = await asyncio.to_thread(app.figures)
                channel.tell("figures", number=message["number"], families=families)
    os._exit(EXIT_FAILED)  # the first is gone


async def _tell_counts(channel: Channel, engine: Engine) -> None:
    told = 0
    while True:
        await asyncio.sleep(COUNT_SECONDS)
        if (count := engine.running_count) != told:
            channel.tell("running", count=count)
            told = count


async def _main(end: socket.socket, limits: int) -> int:
    channel = await Channel.over(end)
    if (begin := await channel.hear()) is None:
        return EXIT_FAILED
    return await serve(channel, begin, limits)


def run(owner: int, end: int, limits: int) -> int:
    """Tie this process to its owner, and serve; return the exit code.

    Args:
        owner: process id of the first front end.
        end: descriptor of the channel to it.
        limits: descriptor of the buckets that all share.
    """
    tie_to(owner)
    try:
        return asyncio.run(_main(socket.socket(fileno=end), limits))
    except KeyboardInterrupt:  # before the loop has taken the signals over: its owner hears of it too
        return EXIT_CLEAN
