"""What an engine's child processes do before and after vLLM's own work in them.

multiprocessing unpickles a child's target before the target's arguments, and unpickling those imports vLLM, which takes
seconds. A ``Target`` is therefore an object whose *unpickling* takes the child under guard, so that there is no moment
in which a killed server leaves it behind.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from palaver_server.engine.vllm.processes import openmp, orphans, subnormals
from palaver_server.engine.vllm.start import log_relay
from palaver_server.engine.vllm.start.environment import FOLDER_VARIABLE

Main = Callable[..., None]


class Target:
    """A child process's target. In the child it becomes what ``enter`` returns, called as soon as it is unpickled."""

    def __init__(self, enter: Callable[[], Main]) -> None:
        self._enter = enter

    def __reduce__(self) -> tuple[Callable[[], Main], tuple[()]]:
        return self._enter, ()


class ForkTarget(Target):
    """The target of a fork of the fork server, whose environment is as old as that is. It brings today's along."""

    def __reduce__(self) -> tuple[Callable[..., Main], tuple[Any, ...]]:
        return _enter_fork, (self._enter, dict(os.environ))


class WorkerTarget(Target):
    """A worker's target, in an engine core. A forked worker has the object itself, and calls it."""

    def __init__(self, main: Main) -> None:
        super().__init__(enter_worker)
        self._main = main

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Be a forked worker."""
        _enter()
        subnormals.flush()
        openmp.bind_threads()
        _run_to_the_end(self._main, args, kwargs)


def _enter_fork(enter: Callable[[], Main], environment: dict[str, str]) -> Main:
    os.environ.clear()
    os.environ.update(environment)
    gc.enable()
    main = enter()
    from vllm.v1.executor import multiproc_executor  # noqa: PLC0415  # after the guard

    # An engine core that has imported all that its workers need forks them, too.
    multiproc_executor.get_mp_context = partial(multiprocessing.get_context, "fork")  # type: ignore[attr-defined]
    return main


def enter_engine_core(max_delay_seconds: float) -> Main:
    """Begin an engine core: a process group of its own, the guard, the log.

    Args:
        max_delay_seconds: the longest that it is to hold a token back, to send several together.
    """
    # A signal to the terminal's or the service's whole group must not reach the engine: it would end every request
    # half-written. The server drains first and then ends the engine itself.
    os.setpgid(0, 0)
    _enter()
    return partial(run_engine_core, max_delay_seconds)


def enter_shared_engine_core(max_delay_seconds: float) -> Main:
    """Begin an engine core that several front ends share; see ``enter_engine_core``."""
    enter_engine_core(max_delay_seconds)
    return partial(run_shared_engine_core, max_delay_seconds)


def enter_worker() -> Main:
    """Begin a worker; it stays in its engine core's process group."""
    _enter()
    return run_worker


def run_engine_core(max_delay_seconds: float, *args: Any, **kwargs: Any) -> None:
    """Run vLLM's engine core; its workers become ours too, and its outputs are bundled."""
    from vllm.v1.engine.core import EngineCoreProc  # noqa: PLC0415  # after the guard
    from vllm.v1.executor.multiproc_executor import WorkerProc  # noqa: PLC0415

    from palaver_server.engine.vllm.bundling.queue import bundle_outputs  # noqa: PLC0415  # as above

    WorkerProc.worker_main = WorkerTarget(WorkerProc.worker_main)
    for process in (EngineCoreProc, WorkerProc):
        process.shutdown = _without_collections(process.shutdown)
    bundle_outputs(max_delay_seconds)
    _run_to_the_end(EngineCoreProc.run_engine_core, args, kwargs)


def run_shared_engine_core(max_delay_seconds: float, *args: Any, **kwargs: Any) -> None:
    """Run vLLM's engine core for several front ends."""
    from palaver_server.engine.vllm.processes.shared_core import tell_first_of_steps  # noqa: PLC0415  # after the guard

    tell_first_of_steps()
    run_engine_core(max_delay_seconds, *args, **kwargs)


def run_worker(*args: Any, **kwargs: Any) -> None:
    """Run vLLM's worker."""
    from vllm.platforms import current_platform  # noqa: PLC0415  # after the guard
    from vllm.v1.executor.multiproc_executor import WorkerProc  # noqa: PLC0415  # as above

    if current_platform.is_cpu():
        subnormals.flush()
    WorkerProc.shutdown = _without_collections(WorkerProc.shutdown)
    _run_to_the_end(WorkerProc.worker_main, args, kwargs)


def _enter() -> None:
    orphans.install()
    if folder := os.environ.get(FOLDER_VARIABLE):
        # The server keeps its own temporary folder; that of the engine's processes is the engine's.
        os.environ["TMPDIR"] = folder
    log_relay.install()


def _without_collections(shutdown: Callable[[Any], None]) -> Callable[[Any], None]:
    """Have a process that ends not go through all of its memory before.

    vLLM does, for engines that end in the middle of a process: a second each in a core and a worker, and more than its
    limit of five on a busy machine, as a fork gets its own copy of whatever it touches. Then it waits four seconds more
    for the worker that it has signalled, and kills it.
    """

    def shut_down(self: Any) -> None:
        gc.disable()
        gc.collect = lambda generation=2: 0  # noqa: ARG005  # as it is called
        shutdown(self)

    return shut_down


def _run_to_the_end(main: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    status = 1
    try:
        main(*args, **kwargs)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        # By the time this is called, vLLM and multiprocessing have released what they hold. Taking the interpreter
        # apart, with torch in it, would cost three seconds of every stop and free nothing that the kernel does not.
        atexit.register(os._exit, status)
