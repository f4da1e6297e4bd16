"""Builds everything from the settings, top to bottom, starts it and stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from palaver_server.app.announcer import Announcer
from palaver_server.app.edge import Edge
from palaver_server.app.front_ends.crew import Crew
from palaver_server.app.front_ends.share import refuse_unshareable, share_of
from palaver_server.app.lifecycle import EXIT_FAILED, App
from palaver_server.app.start_profile import with_start_profile
from palaver_server.app.wiring import new_engine, refuse_careless_edge, refuse_careless_listening
from palaver_server.core.identity.key_file import KeyFileError
from palaver_server.edge.binary import EdgeError
from palaver_server.rpc.listener import ListenError
from palaver_server.settings import Settings, SettingsError
from palaver_server.telemetry.audit.chain import AuditError
from palaver_server.telemetry.log import configure_logging

__all__ = ["Announcer", "App", "run"]

log = structlog.get_logger("palaver.app")


def run(settings: Settings, vllm_arguments: Sequence[str], announcer: Announcer, *, has_edge: bool = False) -> int:
    """Serve until a signal or a failure; return the exit code of the process.

    Args:
        settings: what to serve, and how.
        vllm_arguments: flags for vLLM, as they stood on the command line.
        announcer: is told how the start goes on.
        has_edge: run the Envoy sidecar as well.
    """
    configure_logging(settings.log_level, settings.log_format, repeat_limit=settings.log_repeat_limit)
    try:
        refuse_careless_listening(settings)
        settings, vllm_arguments = with_start_profile(settings, vllm_arguments)
        refuse_unshareable(settings)
        edge = _prepared_edge(settings) if has_edge else None
        return asyncio.run(_serve(settings, vllm_arguments, announcer, edge))
    except (AuditError, EdgeError, KeyFileError, ListenError, SettingsError) as error:
        log.error("cannot start", cause=str(error))  # noqa: TRY400  # a sentence, not a trace
        return EXIT_FAILED


def _prepared_edge(settings: Settings) -> Edge:
    refuse_careless_edge(settings)
    edge = Edge(settings)
    edge.prepare()
    return edge


async def _serve(settings: Settings, vllm_arguments: Sequence[str], announcer: Announcer, edge: Edge | None) -> int:
    crew = Crew(settings, vllm_arguments)
    engine = new_engine(settings, vllm_arguments, place=crew.place, running_elsewhere=lambda: crew.running_count)
    return await App(share_of(settings, 0), engine, announcer, edge, crew=crew, place=crew.place).run()
