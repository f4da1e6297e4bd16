"""vLLM's ``AsyncLLM`` and a loop over its outputs, without any server: what no server can better.

Prompts come as token ids, so that a template is rendered once and not for each request.
"""

from __future__ import annotations

import argparse
import itertools
import os
from time import perf_counter

from tests.bench.burner import Burner
from tests.bench.clocks import Processes, descendants
from tests.bench.peers.peer import Answer
from tests.bench.plan import Ask, Plan
from tests.bench.processes import Launcher

os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs import TokensPrompt
from vllm.sampling_params import RequestOutputKind
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.async_llm import AsyncLLM


class RawClient:
    """The loop."""

    def __init__(self, plan: Plan, burner: Burner) -> None:
        self._burner = burner
        self._serial = itertools.count()
        self._prompts: dict[Ask, TokensPrompt] = {}
        # The same batch sizes as those of a server.
        self._llm = AsyncLLM.from_engine_args(_engine_args(plan), usage_context=UsageContext.OPENAI_API_SERVER)

    async def answer(self, ask: Ask) -> Answer:
        """Run the request through the engine."""
        prompt = self._prompts.get(ask) or self._render(ask)
        params = SamplingParams(
            temperature=0.0, max_tokens=ask.max_output_tokens, output_kind=RequestOutputKind.DELTA
        )
        began = perf_counter()
        times, token_count, owe = [], 0, self._burner.owe
        async for output in self._llm.generate(prompt, params, str(next(self._serial))):
            (completion,) = output.outputs
            if completion.text:
                times.append(perf_counter())
            token_count += (new := len(completion.token_ids))
            owe(new * ask.client_seconds_per_token)
        return Answer(began, times, len(prompt["prompt_token_ids"]), token_count)

    def processes(self) -> Processes:
        """This process is the front end."""
        engine = set(descendants(os.getpid())) - {self._burner.pid}
        return Processes((os.getpid(),), tuple(engine), (self._burner.pid,))

    async def close(self) -> None:
        """End the engine."""
        self._llm.shutdown()
        self._burner.close()

    def _render(self, ask: Ask) -> TokensPrompt:
        messages = [{"role": role, "content": text} for role, text in ask.conversation]
        tokenizer = self._llm.get_tokenizer()
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        prompt = self._prompts[ask] = TokensPrompt(prompt_token_ids=ids)
        return prompt


class Raw:
    """Implements ``peer.Peer``."""

    async def start(self, plan: Plan, launcher: Launcher) -> str:  # noqa: ARG002
        """Nothing stands between the load process and the engine."""
        return ""

    async def connect(self, plan: Plan, found: str) -> RawClient:  # noqa: ARG002
        """Start the engine in this process."""
        return RawClient(plan, Burner())


PEER = Raw()


def _engine_args(plan: Plan) -> AsyncEngineArgs:
    parser: argparse.ArgumentParser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser())
    return AsyncEngineArgs.from_cli_args(parser.parse_args(["--model", plan.model, *plan.engine_flags]))
