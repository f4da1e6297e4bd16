"""A server that plays any end of a call."""
# ruff: noqa: N802  # the methods have the contract's names

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2_grpc

from palaver.v1 import (
    chat_service_pb2,
    chat_service_pb2_grpc,
    choice_pb2,
    content_part_pb2,
    message_pb2,
    model_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    role_pb2,
    usage_pb2,
)


@dataclass(frozen=True)
class Failure:
    """How a call fails."""

    code: grpc.StatusCode
    message: str = "no"
    reason: str | None = None
    retry_after: float | None = None
    fields: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    trailers: tuple[tuple[str, str | bytes], ...] = ()

    def all_trailers(self) -> tuple[tuple[str, str | bytes], ...]:
        details: list[Any] = []
        if self.reason:
            details.append(error_details_pb2.ErrorInfo(reason=self.reason, domain="palaver.v1", metadata=self.metadata))
        if self.fields:
            violations = [
                error_details_pb2.BadRequest.FieldViolation(field=name, description=f"{name} is wrong")
                for name in self.fields
            ]
            details.append(error_details_pb2.BadRequest(field_violations=violations))
        if self.retry_after is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(round(self.retry_after * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        if not details:
            return self.trailers
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return (*self.trailers, ("grpc-status-details-bin", status.SerializeToString()))


@dataclass(frozen=True)
class Act:
    """What the server does with one call: say words, then end, fail or hang."""

    words: tuple[str, ...] = ()
    failure: Failure | None = None
    hangs: bool = False
    starts: bool = True
    finishes: bool = True


@dataclass
class Received:
    """A call as the server saw it."""

    method: str
    request: Any
    metadata: dict[str, str | bytes]
    time_remaining: float | None
    at: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)
    is_answered: bool = False
    """Whether the server came to the end of its answer."""


def text_of(message: message_pb2.Message) -> str:
    return "".join(part.text for part in message.content)


class FakeServer(chat_service_pb2_grpc.ChatServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """Plays the acts that it is given, one a call; with none left it repeats the last message."""

    def __init__(self) -> None:
        self.acts: queue.SimpleQueue[Act] = queue.SimpleQueue()
        self.calls: list[Received] = []
        self.arrived: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self.health = health.HealthServicer()
        self.address = ""

    def will(self, *acts: Act | Failure) -> None:
        for act in acts:
            self.acts.put(Act(failure=act, starts=False) if isinstance(act, Failure) else act)

    def _receive(self, method: str, request: Any, chat: Any, context: grpc.ServicerContext) -> tuple[Act, Received]:
        received = Received(method, request, dict(context.invocation_metadata()), context.time_remaining())
        if not context.add_callback(received.ended.set):
            received.ended.set()  # the caller has left already
        self.calls.append(received)
        self.arrived.put(received)
        context.set_trailing_metadata((("x-request-id", f"server-{received.metadata['x-request-id']}"),))
        try:
            return self.acts.get_nowait(), received
        except queue.Empty:
            return Act(tuple(text_of(chat.messages[-1]).split())), received

    def _end(self, act: Act, received: Received, context: grpc.ServicerContext) -> None:
        if act.hangs:
            received.ended.wait(60)
            raise TimeoutError("whoever called has left")  # nobody hears it
        if act.failure is not None:
            context.set_trailing_metadata(act.failure.all_trailers())
            context.abort(act.failure.code, act.failure.message)
        received.is_answered = True

    def Chat(self, request, context):
        act, received = self._receive("Chat", request, request, context)
        self._end(act, received, context)
        return chat_service_pb2.ChatResponse(
            id="chat-1",
            model="fake",
            choices=[
                choice_pb2.Choice(
                    message=message_pb2.Message(
                        role=role_pb2.ROLE_ASSISTANT, content=[content_part_pb2.ContentPart(text=" ".join(act.words))]
                    ),
                    finish_reason=choice_pb2.FINISH_REASON_STOP,
                )
            ]
            if act.finishes
            else [],
            usage=usage_pb2.Usage(output_token_count=len(act.words)),
        )

    def StreamChat(self, request, context):
        act, received = self._receive("StreamChat", request, request.chat, context)
        if act.starts:
            yield event(started=chat_service_pb2.ChatStarted(id="chat-1", model="fake"))
        for index, word in enumerate(act.words):
            yield event(
                delta=chat_service_pb2.ChatDelta(sequence_number=index, text=word if index == 0 else f" {word}")
            )
        self._end(act, received, context)
        if act.finishes:
            end = choice_pb2.ChoiceFinish(finish_reason=choice_pb2.FINISH_REASON_STOP)
            usage = usage_pb2.Usage(output_token_count=len(act.words))
            yield event(finished=chat_service_pb2.ChatFinished(choices=[end], usage=usage))

    def CountTokens(self, request, context):
        self._receive("CountTokens", request, request.chat, context)
        return chat_service_pb2.CountTokensResponse(model="fake", prompt_token_count=len(request.chat.messages))

    def ListModels(self, request, context):
        names = ["default", "second", "third"]
        start = int(request.page_token or 0)
        return model_service_pb2.ListModelsResponse(
            models=[model_pb2.Model(name=f"models/{names[start]}", id=names[start], is_default=start == 0)],
            next_page_token=str(start + 1) if start + 1 < len(names) else "",
        )

    def GetModel(self, request, context):
        return model_pb2.Model(name=request.name, id=request.name.removeprefix("models/"))


def event(**kind: Any) -> chat_service_pb2.StreamChatResponse:
    return chat_service_pb2.StreamChatResponse(**kind)


@dataclass
class Running:
    """A fake server on its port; it can be stopped, and started there again."""

    fake: FakeServer
    address: str
    stop: Callable[[], None]


def start_fake(fake: FakeServer, address: str = "127.0.0.1:0", **settings: Any) -> Running:
    server = grpc.server(ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)], **settings)
    chat_service_pb2_grpc.add_ChatServiceServicer_to_server(fake, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(fake, server)
    health_pb2_grpc.add_HealthServicer_to_server(fake.health, server)
    port = server.add_insecure_port(address)
    server.start()

    def stop() -> None:
        server.stop(0).wait()

    return Running(fake, f"127.0.0.1:{port}", stop)
