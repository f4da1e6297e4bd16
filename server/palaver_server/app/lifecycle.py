"""The life of one server as a numbered story: start, serve, stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import structlog

from palaver_server.app import supervisor
from palaver_server.app.access import Access
from palaver_server.app.announcer import Announcer
from palaver_server.app.control import Control
from palaver_server.app.edge import Edge
from palaver_server.app.front_ends.crew import Crew
from palaver_server.app.front_ends.share import ALONE, Place
from palaver_server.app.process_age import seconds_since_process_start
from palaver_server.app.telemetry import Telemetry
from palaver_server.app.wiring import load_reports, server_limits, tls_files
from palaver_server.core.admission import Admission
from palaver_server.core.chat import Chat
from palaver_server.core.engine import Engine, EngineStartError
from palaver_server.core.loading import Loading
from palaver_server.core.model import LoadPhase, LoadProgress
from palaver_server.core.readiness import NotReady, Readiness
from palaver_server.edge.binary import EdgeError
from palaver_server.rpc.server import HealthPort, RpcServer
from palaver_server.settings import Settings

log = structlog.get_logger("palaver.app")

EXIT_CLEAN = 0
EXIT_FAILED = 1
EXIT_INTERRUPTED_TWICE = 130


class App:
    """One server with one engine, from the bind to the last process's end.

    Args:
        settings: of this process; where there are several front ends, its share.
        engine: what answers, not loaded yet.
        announcer: is told how the start goes on.
        edge: the Envoy of this machine, where there shall be one.
        crew: the other front ends, which this process starts and ends with itself.
        place: which front end this is.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        announcer: Announcer,
        edge: Edge | None = None,
        *,
        crew: Crew | None = None,
        place: Place = ALONE,
    ) -> None:
        if edge is not None:
            sockets = {"edge_socket": edge.places.api_socket, "internal_socket": edge.places.questions_socket}
            settings = settings.model_copy(update=sockets)
        self._settings = settings
        self._engine = engine
        self._announcer = announcer
        self._edge = edge
        self._crew = crew or Crew(settings.model_copy(update={"front_ends": 1}))
        self._place = place
        self._readiness = Readiness(NotReady.LOADING)
        self._loading = Loading()
        self._admission = Admission(
            max_concurrent=settings.max_concurrent_requests, max_queued=settings.max_queued_requests
        )
        self._chat = Chat(
            engine,
            self._admission,
            self._readiness,
            self._loading,
            slow_reader_seconds=settings.slow_reader_timeout,
        )
        self._telemetry = Telemetry(settings, crew=self._crew, has_port=place.is_first)
        self._telemetry.watch(self._admission, self._readiness, self._loading, engine)
        self._access = Access(
            settings,
            server_limits(settings),
            self._chat.end_calls_of,
            self._telemetry.decisions,
            buckets=place.buckets,
        )
        self._control = Control(settings, server_limits(settings), self._crew.set_log_level)
        self._server = RpcServer(
            self._chat,
            self._readiness,
            self._loading,
            entrance=self._access.entrance,
            edge_entrance=self._access.edge_entrance,
            limits=server_limits(settings),
            tls=tls_files(settings),
            max_health_watches=settings.max_health_watches,
            event_stream_keepalive_seconds=settings.event_stream_keepalive,
            observers=self._telemetry.observers,
            keeps_answers=self._telemetry.keeps_answers,
            load_reports=load_reports(settings, self._chat.load),
            shares_port=not place.is_alone,
        )
        self._health_port: HealthPort | None = None
        self._asked_to_stop = asyncio.Event()
        self._edge_is_up = asyncio.Event()

    @property
    def waiting_count(self) -> int:
        """Calls that wait for room."""
        return self._admission.waiting_count

    @property
    def metrics_address(self) -> str:
        """Where Prometheus asks; empty where it cannot."""
        return self._telemetry.metrics_address

    def figures(self) -> list[Any]:
        """What there is for Prometheus, for a front end that has the port. Called in a thread."""
        return self._telemetry.figures()

    def hear_progress(self, progress: LoadProgress) -> None:
        """Take over how far the first front end's load is, until this one has ended its own part."""
        if NotReady.LOADING in self._readiness:
            self._loading.report(progress)

    def ask_to_stop(self) -> None:
        """What a first SIGTERM does: ``run`` drains, ends everything and returns."""
        self._asked_to_stop.set()

    async def run(self) -> int:
        """Serve until a signal or a failure, and return the exit code.

        Raises:
            ListenError: an address cannot be bound.
            KeyFileError: the key file is damaged.
            SettingsError: something that a setting asks for is not installed.
        """
        with self._signals():
            # 1. Know the keys, then bind: from here on health, reflection and GetModel answer.
            address = await self._open()
            if self._settings.health_listen is not None:
                log.info("health port", address=await self._open_health_port(self._settings.health_listen))
            await self._crew.start(address, self._settings.edge_socket)
            supervisor.tell("STATUS=loading the model")
            self._announcer.listening(address)
            # 2. Load while answering. 3. Serve. A signal, or the death of engine, edge or a front end, ends either.
            asked = asyncio.create_task(self._asked_to_stop.wait(), name="asked to stop")
            failed = asyncio.create_task(self._engine.wait_failed(), name="engine failed")
            failed.add_done_callback(self._tell_crew)
            edge = asyncio.create_task(self._run_edge(), name="edge")
            crew = asyncio.create_task(self._crew.wait_failed(), name="front ends")
            load = asyncio.create_task(self._load(address), name="load")
            try:
                await asyncio.wait({load, asked, edge, crew}, return_when=asyncio.FIRST_COMPLETED)
                if load.done() and not load.result():
                    return EXIT_FAILED
                if not (asked.done() or edge.done() or crew.done()):
                    await asyncio.wait({asked, failed, edge, crew}, return_when=asyncio.FIRST_COMPLETED)
                if failed.done():
                    log.error("the engine failed", cause=failed.result())
                    self._readiness.add(NotReady.ENGINE_FAILED)
                if edge.done():
                    log.error("the edge failed", cause=edge.result())
                # A signal to all processes ends the others as well, maybe before this one.
                has_lost = crew.done() and not asked.done()
                if has_lost:
                    log.error("a front end failed", cause=crew.result())
                return EXIT_FAILED if failed.done() or edge.done() or has_lost else EXIT_CLEAN
            finally:
                await self._end(load, asked, failed, edge, crew)

    async def _run_edge(self) -> str:
        """Start the edge, where there is one, and return only when it has failed."""
        if self._edge is None:
            self._edge_is_up.set()
            return await asyncio.Future()
        try:
            await self._edge.start()
        except EdgeError as error:
            return str(error)
        self._announcer.edge_listening(self._edge.address, self._edge.status_address, self._edge.ca)
        self._edge_is_up.set()
        return await self._edge.wait_failed()

    async def _open(self) -> str:
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(self._telemetry.stop)
            await self._telemetry.start()
            await self._access.start()
            undo.push_async_callback(self._access.stop)
            await self._control.start()
            undo.push_async_callback(self._control.stop)
            address = await self._server.start(
                self._settings.listen,
                self._settings.edge_socket,
                self._access.unix_access,
                joins=not self._place.is_first,
            )
            undo.pop_all()
            return address

    async def _open_health_port(self, listen: str) -> str:
        self._health_port = HealthPort(
            self._readiness,
            limits=server_limits(self._settings),
            max_health_watches=self._settings.max_health_watches,
        )
        return await self._health_port.start(listen)

    async def _load(self, address: str) -> bool:
        inviting = asyncio.create_task(self._invite(), name="invitation")
        try:
            await self._engine.load(self._report)
            await inviting
        except EngineStartError as error:
            self._report(LoadProgress(LoadPhase.FAILED, 0.0))
            self._announcer.close()
            log.error("the model cannot be served", cause=str(error))  # noqa: TRY400  # a sentence, not a trace
            return False
        finally:
            inviting.cancel()
        await self._crew.wait_ready()
        self._report(LoadProgress(LoadPhase.READY, 1.0))
        self._readiness.remove(NotReady.LOADING)
        await self._edge_is_up.wait()
        seconds = seconds_since_process_start()
        supervisor.tell("READY=1", "STATUS=serving")
        self._announcer.ready(address, self._engine.description.model_id, seconds)
        return True

    async def _invite(self) -> None:
        """Have the other front ends join the engine while it loads."""
        if not self._crew.is_empty:
            self._crew.invite(await self._engine.invitation())

    def _tell_crew(self, failed: asyncio.Task[str]) -> None:
        if not failed.cancelled():
            self._crew.give_up_engine(failed.result())

    def _report(self, progress: LoadProgress) -> None:
        self._loading.report(progress)
        self._announcer.progress(self._loading.progress)
        self._crew.report(progress)

    async def _end(self, *tasks: asyncio.Task[object]) -> None:
        """The story of a stop, in its order."""
        self._announcer.close()
        supervisor.tell("STOPPING=1", "STATUS=stopping")
        can_answer = self._readiness.is_ready
        self._crew.ask_to_stop()  # they take the same steps, meanwhile
        # 1. Health turns false while calls are still taken: load balancers lag.
        self._readiness.add(NotReady.LEAVING)
        if self._edge is not None:
            await self._edge.fail_health()
        if can_answer:
            log.info("stopping", running=self._chat.running_count, grace_seconds=self._settings.grace)
            await asyncio.sleep(self._settings.drain_delay)
        # 2. New calls are refused; running ones get their grace, then a clear status.
        self._readiness.add(NotReady.DRAINING)
        if self._edge is not None:
            await self._edge.drain()
        await self._chat.drain(self._settings.grace if can_answer else 0.0)
        # 3. Watches and reflection streams end, then the port closes.
        await self._server.stop()
        await self._crew.stop()
        if self._health_port is not None:
            await self._health_port.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # 4. The edge ends when the last answer has passed it.
        if self._edge is not None:
            await self._edge.stop()
        await self._access.stop()
        await self._control.stop()
        # 5. The engine ends, with every process of it.
        await self._engine.shutdown()
        # 6. Until here the figures were to be had.
        await self._telemetry.stop()
        log.info("stopped")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal asks, the second ends at once."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._take_signal, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _take_signal(self, number: int) -> None:
        if not (self._place.is_first and self._asked_to_stop.is_set()):
            self.ask_to_stop()
            return
        log.warning("asked twice: ending at once", signal=signal.Signals(number).name)
        if self._edge is not None:
            self._edge.kill()
        self._crew.kill()
        self._engine.kill()
        os._exit(EXIT_INTERRUPTED_TWICE)
