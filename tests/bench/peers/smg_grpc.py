"""vLLM's own gRPC server in Python. It takes and gives token ids: templates and text are its caller's business.

The caller here makes text of the first tokens once an answer has ended, to tell which was the first that is seen.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import grpc

from tests.bench import install
from tests.bench.clocks import Processes
from tests.bench.peers.beginning import unseen
from tests.bench.peers.palaver_grpc import CHANNEL_OPTIONS, CONNECTIONS
from tests.bench.peers.peer import Answer
from tests.bench.peers.smg_worker import ENVIRONMENT, start_worker
from tests.bench.plan import Ask, Plan
from tests.bench.processes import Launcher

METHOD = "/vllm.grpc.engine.VllmEngine/Generate"


class TokenClient:
    """Asks over several connections in turn."""

    def __init__(self, address: str, model: str, processes: Processes) -> None:
        sys.path.append(install.packages(ENVIRONMENT))
        from smg_grpc_proto import vllm_engine_pb2  # noqa: PLC0415  # found only now
        from transformers import AutoTokenizer  # noqa: PLC0415  # takes seconds, and only this load process needs it

        self._messages: Any = vllm_engine_pb2
        self._tokenizer: Any = AutoTokenizer.from_pretrained(model)
        self._channels = [grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) for _ in range(CONNECTIONS)]
        self._methods: list[grpc.aio.UnaryStreamMultiCallable[bytes, bytes]] = [
            channel.unary_stream(METHOD) for channel in self._channels
        ]
        self._serial = itertools.count()
        self._processes = processes
        self._prompts: dict[tuple[tuple[str, str], ...], list[int]] = {}

    async def answer(self, ask: Ask) -> Answer:
        """Ask on the next connection."""
        serial = next(self._serial)
        prompt = self._prompts.get(ask.conversation) or self._rendered(ask.conversation)
        request = self._request(ask, prompt, f"bench-{serial}").SerializeToString()
        began = perf_counter()
        messages, times = [], []
        async for message in self._methods[serial % CONNECTIONS](request):
            times.append(perf_counter())
            messages.append(message)
        # Each chunk counts its own tokens, and so does the last message, which repeats what the last chunk had.
        *responses, last = map(self._messages.GenerateResponse.FromString, messages)
        chunks = [list(response.chunk.token_ids) for response in responses]
        first = self._first_seen(chunks)
        return Answer(began, times[first:-1], last.complete.prompt_tokens, sum(map(len, chunks)))

    def processes(self) -> Processes:
        """Who works for the answers."""
        return self._processes

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.close()

    def _request(self, ask: Ask, prompt: list[int], request_id: str) -> Any:
        pb = self._messages
        sampling = pb.SamplingParams(
            temperature=0.0,
            max_tokens=ask.max_output_tokens,
            ignore_eos=ask.ignores_end,
            n=1,
            top_p=1.0,
            repetition_penalty=1.0,
        )
        tokenized = pb.TokenizedInput(original_text="", input_ids=prompt)
        return pb.GenerateRequest(request_id=request_id, tokenized=tokenized, sampling_params=sampling, stream=True)

    def _rendered(self, conversation: tuple[tuple[str, str], ...]) -> list[int]:
        messages = [{"role": role, "content": text} for role, text in conversation]
        tokens: list[int] = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        self._prompts[conversation] = tokens
        return tokens

    def _first_seen(self, chunks: Sequence[list[int]]) -> int:
        """The place of the first chunk whose text is seen; beyond the last where none is."""
        tokens: list[int] = []
        for place, chunk in enumerate(chunks):
            tokens += chunk
            if unseen(self._tokenizer.decode(tokens, skip_special_tokens=True)) is None:
                return place
        return len(chunks)


class SmgGrpc:
    """Implements ``peer.Peer``."""

    engines = ("vllm",)

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start the server."""
        worker, port = await start_worker(plan, launcher, "python")
        await worker.line_with("Server is ready to accept requests")
        return json.dumps({"address": f"127.0.0.1:{port}", "pid": worker.pid})

    async def connect(self, plan: Plan, found: str) -> TokenClient:
        """Open the connections."""
        address, pid = json.loads(found).values()
        return TokenClient(address, plan.model, Processes.of(pid))


PEER = SmgGrpc()
