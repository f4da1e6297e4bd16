"""A running vLLM engine with all that is needed to ask it. Building takes long and blocks: it belongs into a thread."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from vllm.envs import disable_envs_cache, enable_envs_cache
from vllm.model_executor.models import registry
from vllm.platforms import current_platform
from vllm.usage.usage_lib import UsageContext
from vllm.utils.system_utils import get_mp_context
from vllm.v1.engine import async_llm
from vllm.v1.engine import utils as engine_utils
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.engine.exceptions import EngineDeadError

from palaver_server.core.model import ModelDescription
from palaver_server.engine.fitting import Fitting
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.vllm.answer.generations import Generations
from palaver_server.engine.vllm.answer.latencies import StepStatLogger
from palaver_server.engine.vllm.answer.parsers import Parsers, choose_parsers
from palaver_server.engine.vllm.answer.processor import BundleProcessor
from palaver_server.engine.vllm.answer.pulse import Pulse
from palaver_server.engine.vllm.answer.token_logprobs import TokenLogprobs
from palaver_server.engine.vllm.arguments import EngineArgumentError, parse
from palaver_server.engine.vllm.grammar.gate import Gate
from palaver_server.engine.vllm.grammar.process import CompilerProcess
from palaver_server.engine.vllm.grammar.vocabulary import vocabulary
from palaver_server.engine.vllm.grammar.wanted import Forms
from palaver_server.engine.vllm.processes.children import (
    ForkTarget,
    Target,
    enter_engine_core,
    enter_shared_engine_core,
)
from palaver_server.engine.vllm.processes.fork_server import ForkServer
from palaver_server.engine.vllm.processes.seats import Seat
from palaver_server.engine.vllm.processes.shared_core import others_invited, patched
from palaver_server.engine.vllm.prompt.cache_salt import CacheSalt
from palaver_server.engine.vllm.prompt.params import Sampling
from palaver_server.engine.vllm.prompt.preparation import Preparation
from palaver_server.engine.vllm.prompt.rendering import Rendered, Rendering
from palaver_server.engine.vllm.prompt.thinking import Thinking
from palaver_server.engine.vllm.start.environment import unchanged
from palaver_server.engine.vllm.start.fingerprint import fingerprint
from palaver_server.engine.vllm.start.kv_room import give_cpu_kv_cache_room
from palaver_server.engine.vllm.start.progress import Step


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a load makes."""

    llm: AsyncLLM
    preparation: Preparation
    generations: Generations
    description: ModelDescription
    pulse: Pulse
    gate: Gate
    fork_server: ForkServer | None
    """Of which the engine's processes are forks."""

    async def end(self, seconds: float) -> None:
        """End vLLM and its processes. Who still waits for an answer is told that the engine is gone.

        Args:
            seconds: what the processes get to end by themselves.
        """
        # The reader of outputs would take the end for a failure, and log it as one.
        if (reader := self.llm.output_handler) is not None:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
        self.give_up()
        disable_envs_cache()
        await asyncio.gather(self.gate.close(), asyncio.to_thread(self.llm.shutdown, timeout=seconds))
        # vLLM's finalizer calls it once more: at the interpreter's end, when the modules that it needs are gone.
        self.llm.shutdown = lambda timeout=None: None  # type: ignore[method-assign]  # noqa: ARG005

    def give_up(self) -> None:
        """Tell everybody who waits for an answer that the engine is gone."""
        self.llm.output_processor.propagate_error(EngineDeadError())
        self.generations.fail()


def build(
    model: str,
    model_id: str,
    flags: Sequence[str],
    policy: EnginePolicy,
    reach: Callable[[Step], None],
    *,
    seat: Seat,
    fork_server: ForkServer | None = None,
) -> Runtime:
    """Start the engine's processes and load the weights, or join an engine. Blocks for seconds to minutes.

    Args:
        model: what vLLM loads.
        model_id: the name that requests use.
        flags: vLLM's engine arguments.
        policy: what the operator decides about answers.
        reach: is told each step that begins; an exception from it ends the build.
        seat: which front end this is; the first starts the engine.
        fork_server: of which the engine's processes are forks, where it runs.

    Raises:
        EngineArgumentError: the engine arguments cannot be used.
    """
    reach(Step.CONFIGURATION)
    arguments = parse(model, model_id, flags)
    if current_platform.is_cpu():
        # vLLM looks at a model's class in a process of its own, lest CUDA be initialized here: ten seconds of imports
        # at the first start of each architecture, in a process that nobody guards. Here is no CUDA.
        registry._run_in_subprocess = lambda fn: fn()  # noqa: SLF001  # vLLM has no switch for it
        # They warn that eager mode compiles nothing, and that Triton is missing: both are our own choice here.
        for name in ("vllm.config.vllm", "vllm.platforms.cpu"):
            logging.getLogger(name).setLevel(logging.ERROR)
    # What vLLM sets for its workers' allocator and threads would go to every other child of this process, too.
    with unchanged("LD_PRELOAD"):
        # The batch sizes of vLLM's own server, rather than those of its offline use.
        parser_names = choose_parsers(model, arguments)
        arguments.engine.reasoning_parser = parser_names.reasoning or ""
        config = arguments.engine.create_engine_config(UsageContext.OPENAI_API_SERVER)
        if current_platform.is_cpu():
            give_cpu_kv_cache_room(config)
        reach(Step.ENGINE_CORE)
        if seat.count > 1 and config.parallel_config.data_parallel_size > 1:
            raise EngineArgumentError("front_ends: several of them do not go with --data-parallel-size.")
        # vLLM binds memory by an executable in front of the interpreter's own, which a fork has not.
        forks = None if fork_server is None or arguments.engine.numa_bind else fork_server.context()
        target = Target if forks is None else ForkTarget
        enter = enter_engine_core if seat.count == 1 else enter_shared_engine_core
        EngineCoreProc.run_engine_core = target(partial(enter, policy.max_coalescing_seconds))
        pulse = Pulse()
        build_llm = partial(
            AsyncLLM.from_vllm_config,
            config,
            stat_loggers=[pulse.logger, StepStatLogger],
            usage_context=UsageContext.OPENAI_API_SERVER,
            enable_log_requests=arguments.engine.enable_log_requests,
            aggregate_engine_logging=arguments.engine.aggregate_engine_logging,
            disable_log_stats=arguments.engine.disable_log_stats,
        )
        how_started = get_mp_context if forks is None else lambda: forks
        with (
            others_invited(seat),
            patched(engine_utils, "get_mp_context", how_started),
            patched(async_llm, "OutputProcessor", BundleProcessor),
        ):
            llm = build_llm(client_addresses=seat.addresses, client_count=seat.count, client_index=seat.index)
    rendering = Rendering(llm, arguments, parser_names)
    rendering.warm_up()
    tokenizer = llm.renderer.get_tokenizer()
    sampling = Sampling(
        llm.model_config,
        tokenizer,
        policy,
        speculative=config.speculative_config,
        has_priorities=config.scheduler_config.policy == "priority",
    )
    parsers = Parsers(parser_names, llm.model_config, tokenizer)
    template = rendering.template(tokenizer)
    thinking = Thinking(
        template,
        can_think=parsers.reads_thoughts,
        has_soft_switch=parsers.has_soft_switch,
        has_budget=config.reasoning_config is not None and config.reasoning_config.enabled,
    )
    description = ModelDescription(
        model_id,
        # The engine may have fitted it to the memory that there is.
        context_length=llm.model_config.max_model_len,
        max_output_tokens=sampling.output_limit,
        architecture=llm.model_config.architecture,
        defaults=sampling.model_defaults,
        reads_tools=parsers.reads_tools,
        reads_thoughts=parsers.reads_thoughts,
        holds_forms=True,
        system_fingerprint=fingerprint(config, template, policy.defaults),
        chat_template_sha256=hashlib.sha256(template.encode()).hexdigest() if template else "",
        tool_call_parser=parser_names.tools or "",
        reasoning_parser=parser_names.reasoning or "",
    )
    salt = CacheSalt(seat.cache_secret, is_shared=policy.shares_prefix_cache)
    # vLLM would compile every form on the event loop when a request is added. The gate has it done before, elsewhere.
    llm.input_processor.structured_outputs_config = None  # type: ignore[assignment]  # vLLM asks for None
    any_whitespace = not config.structured_outputs_config.disable_any_whitespace
    gate = Gate(
        CompilerProcess(
            partial(vocabulary, config, tokenizer),
            policy.form_limits,
            any_whitespace=any_whitespace,
            forks=forks,
        ),
        policy.form_limits,
    )
    fitting = Fitting(
        llm.model_config.max_model_len, policy.context_overflow, lambda one: one.prompt_token_count, Rendered.cut
    )
    # vLLM reads a switch from the environment at every token. Its own processes do this at the same point.
    enable_envs_cache()
    return Runtime(
        llm,
        Preparation(
            rendering,
            sampling,
            parsers,
            thinking,
            TokenLogprobs(tokenizer),
            salt,
            Forms(parsers, gate, any_whitespace=any_whitespace),
            fitting,
        ),
        Generations(llm, pulse),
        description,
        pulse,
        gate,
        None if forks is None else fork_server,
    )
