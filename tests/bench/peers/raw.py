"""vLLM's ``AsyncLLM`` and a loop over its outputs, without any server: what no server can better.

Prompts come as token ids, so that a template is rendered once and not for each request. An answer begins with the first
text that a reader is shown: the marks around thoughts that a model does not have are none, here as with every server.
"""

from __future__ import annotations

import itertools
import os
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tests.bench.burner import Burner
from tests.bench.clocks import Processes, descendants
from tests.bench.peers.beginning import unseen as unseen_text
from tests.bench.peers.peer import Answer
from tests.bench.plan import Ask, Plan
from tests.bench.processes import Launcher

if TYPE_CHECKING:  # vLLM takes seconds to import, and only the load process needs it
    from vllm import SamplingParams
    from vllm.inputs import TokensInput
    from vllm.v1.engine.async_llm import AsyncLLM


class RawClient:
    """The loop."""

    def __init__(self, llm: AsyncLLM, burner: Burner) -> None:
        self._llm = llm
        self._burner = burner
        self._serial = itertools.count()
        self._prepared: dict[Ask, tuple[TokensInput, SamplingParams]] = {}

    async def answer(self, ask: Ask) -> Answer:
        """Run the request through the engine."""
        prompt, params = self._prepared.get(ask) or self._prepare(ask)
        owe, client_seconds_per_token = self._burner.owe, ask.client_seconds_per_token
        times: list[float] = []
        output_tokens = 0
        unseen: str | None = ""
        began = perf_counter()
        async for output in self._llm.generate(prompt, params, str(next(self._serial))):
            (completion,) = output.outputs
            if unseen is not None:
                unseen = unseen_text(unseen + completion.text)
            if unseen is None and completion.text:
                times.append(perf_counter())
            new_tokens = len(completion.token_ids)
            output_tokens += new_tokens
            owe(new_tokens * client_seconds_per_token)
        return Answer(began, times, len(prompt["prompt_token_ids"]), output_tokens)

    def processes(self) -> Processes:
        """This process is the front end."""
        engine = set(descendants(os.getpid())) - {self._burner.pid}
        return Processes((os.getpid(),), tuple(engine), (self._burner.pid,))

    async def close(self) -> None:
        """End the engine."""
        self._llm.shutdown()
        self._burner.close()

    def _prepare(self, ask: Ask) -> tuple[TokensInput, SamplingParams]:
        from vllm import SamplingParams  # noqa: PLC0415  # as above
        from vllm.inputs import tokens_input  # noqa: PLC0415
        from vllm.sampling_params import RequestOutputKind  # noqa: PLC0415

        messages: list[Any] = [{"role": role, "content": text} for role, text in ask.conversation]
        tokenizer = self._llm.get_tokenizer()
        rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
        assert isinstance(rendered, list)  # the text is for those who do not tokenize
        prompt = tokens_input(rendered)
        params = SamplingParams(
            temperature=0.0,
            max_tokens=ask.max_output_tokens,
            ignore_eos=ask.ignores_end,
            output_kind=RequestOutputKind.DELTA,
        )
        prepared = self._prepared[ask] = (prompt, params)
        return prepared


class Raw:
    """Implements ``peer.Peer``."""

    engines = ("vllm",)

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Nothing stands between the load process and the engine."""
        return ""

    async def connect(self, plan: Plan, found: str) -> RawClient:
        """Start the engine in this process."""
        burner = Burner()
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # as in the server
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415  # reads the environment
        from vllm.usage.usage_lib import UsageContext  # noqa: PLC0415
        from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415

        parser = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser())  # type: ignore[no-untyped-call]
        arguments = AsyncEngineArgs.from_cli_args(parser.parse_args(["--model", plan.model, *plan.engine_flags]))
        # The same batch sizes as those of a server.
        llm = AsyncLLM.from_engine_args(arguments, usage_context=UsageContext.OPENAI_API_SERVER)
        return RawClient(llm, burner)


PEER = Raw()
