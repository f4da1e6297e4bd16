"""vLLM's own OpenAI server, mounted on an engine that is palaver's: both then answer from the same weights and batches.

It is the reference of what OpenAI's clients get from vLLM: its app, its state, its routes, served on loopback.
"""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def vllm_app(llm: object, model: Path | str, model_id: str, flags: Sequence[str] = ()) -> AsyncIterator[str]:
    """Serve until the block ends; gives the address, without ``/v1``.

    Args:
        llm: the ``AsyncLLM``; it stays the caller's.
        model: what it has loaded.
        model_id: the name that requests use.
        flags: of ``vllm serve``, such as ``["--reasoning-parser", "glm45"]``; those of the engine itself mean nothing.
    """
    import uvicorn  # noqa: PLC0415  # with vLLM it takes seconds
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state  # noqa: PLC0415
    from vllm.entrypoints.launchers.app import build_app  # noqa: PLC0415
    from vllm.entrypoints.launchers.cli_args import make_arg_parser  # noqa: PLC0415
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

    parser = make_arg_parser(FlexibleArgumentParser())
    args = parser.parse_args(["--model", str(model), "--served-model-name", model_id, *flags])
    tasks = await llm.get_supported_tasks()  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its dependencies say of each other
        app = build_app(args, tasks, llm.model_config)  # type: ignore[attr-defined]
        await init_app_state(llm, app.state, args, tasks)  # type: ignore[arg-type]
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve([listening]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listening.close()
