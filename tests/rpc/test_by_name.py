"""The server waits for the next call once, not once for each of its methods."""

from __future__ import annotations

import asyncio

from palaver.v1 import model_service_pb2
from tests.conftest import Serve


def _waits() -> list[str]:
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("AioServer._request")]


async def test_a_server_waits_for_one_call_whatever_its_methods(serve: Serve) -> None:
    serving = await serve()
    assert _waits() == ["AioServer._request_call"]
    models = await serving.models.ListModels(model_service_pb2.ListModelsRequest())
    assert [model.name for model in models.models] == ["models/scripted"]
    assert _waits() == ["AioServer._request_call"]


async def test_the_health_port_is_a_server_of_its_own(serve: Serve) -> None:
    await serve(health_listen="127.0.0.1:0")
    assert _waits() == ["AioServer._request_call"] * 2
