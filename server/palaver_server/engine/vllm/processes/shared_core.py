"""One engine core for several front ends.

vLLM's own server starts its front ends from a process that answers nobody. Here the first front end launches the core
and answers too, so only the addresses of the others have to be added to those that the core is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from vllm.config import VllmConfig
from vllm.v1.engine import EngineCoreOutputs, core_client
from vllm.v1.engine import utils as engine_utils
from vllm.v1.executor import Executor

from palaver_server.engine.vllm.processes.seats import Seat


@contextmanager
def others_invited(seat: Seat) -> Iterator[None]:
    """Have an engine core that is launched in the body connect to the other front ends, too.

    It does so whenever they are there, before or after.
    """
    launch_core_engines = engine_utils.launch_core_engines
    others = seat.addresses_of_others

    @contextmanager
    def launch(
        config: VllmConfig,
        executor: type[Executor],
        log_stats: bool,
        addresses: engine_utils.EngineZmqAddresses,
    ) -> Iterator[engine_utils.CoreEngineLaunch]:
        addresses.inputs += [other["input_address"] for other in others]
        addresses.outputs += [other["output_address"] for other in others]
        with launch_core_engines(config, executor, log_stats, addresses) as launched:
            yield launched

    with patched(core_client, "launch_core_engines", launch if others else launch_core_engines):
        yield


@contextmanager
def patched(module: ModuleType, name: str, value: object) -> Iterator[None]:
    """Have a module use another function for a while."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def tell_first_of_steps() -> None:
    """In an engine core: give the statistics of each step to the first front end.

    vLLM gives them to any one that has outputs in the step. The first watches whether the engine lives, and tells its
    figures; it would take an engine that works for the others alone for one that hangs.
    """
    from vllm.v1.core.sched.scheduler import Scheduler  # noqa: PLC0415  # front ends need not know it

    update = Scheduler.update_from_output

    def update_from_output(self: Scheduler, *args: Any, **kwargs: Any) -> dict[int, EngineCoreOutputs]:
        outputs = update(self, *args, **kwargs)
        for index, output in list(outputs.items()):
            if index > 0 and output.scheduler_stats is not None:
                outputs.setdefault(0, EngineCoreOutputs()).scheduler_stats = output.scheduler_stats
                output.scheduler_stats = None
        return outputs

    Scheduler.update_from_output = update_from_output  # type: ignore[method-assign]
