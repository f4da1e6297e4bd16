"""SMG with nothing in Python: its Rust router, which speaks OpenAI's protocol, before its Rust service in vLLM."""

from __future__ import annotations

import asyncio
import json

import aiohttp

from tests.bench import install
from tests.bench.clocks import Processes
from tests.bench.peers.openai_client import OpenAIClient
from tests.bench.peers.ports import free_port
from tests.bench.peers.smg_worker import ENVIRONMENT, start_worker
from tests.bench.plan import Plan
from tests.bench.processes import READY_SECONDS, Launched, Launcher

POLL_SECONDS = 0.1


class Smg:
    """Implements ``peer.Peer``."""

    engines = ("vllm",)

    async def start(self, plan: Plan, launcher: Launcher) -> str:
        """Start worker and router."""
        worker, worker_port = await start_worker(plan, launcher, "rust")
        port = free_port()
        command = [install.program(ENVIRONMENT, "smg"), "launch", "--model-path", plan.model]
        command += ["--worker-urls", f"grpc://127.0.0.1:{worker_port}", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--prometheus-port", str(free_port()), "--prometheus-host", "127.0.0.1"]
        router = await launcher.start("router", command)
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        await _until_it_answers(url, plan.model, worker)
        return json.dumps({"url": url, "model": plan.model, "pids": [router.pid, worker.pid]})

    async def connect(self, plan: Plan, found: str) -> OpenAIClient:
        """Open a pool of connections."""
        url, model, pids = json.loads(found).values()
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return OpenAIClient(session, url, model, Processes.of(*pids))


PEER = Smg()


async def _until_it_answers(url: str, model: str, worker: Launched) -> None:
    """Its probes are green before the engine is there, so that only an answer tells."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    async with aiohttp.ClientSession() as session, asyncio.timeout(READY_SECONDS):
        while True:
            worker.check()
            try:
                async with session.post(url, json=body) as response:
                    if response.ok:
                        return
            except aiohttp.ClientConnectionError:
                pass  # the router does not listen yet
            await asyncio.sleep(POLL_SECONDS)
