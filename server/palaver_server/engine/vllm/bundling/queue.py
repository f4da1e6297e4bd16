"""The place where an engine core's busy loop leaves its outputs and the thread that sends them finds them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutputs
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.request import Request

from palaver_server.engine.vllm.bundling.bundle import Bundle
from palaver_server.engine.vllm.bundling.pace import Pace

Item: TypeAlias = "tuple[int, EngineCoreOutputs] | bytes"
"""Outputs with the number of the front end that they are for, below zero for vLLM's own coordinator; or a last word."""


def bundle_outputs(max_delay_seconds: float) -> None:
    """In an engine core, before it begins: bundle what it sends.

    Args:
        max_delay_seconds: the longest that a token is to be held back; with 0, none is.
    """
    if max_delay_seconds <= 0:
        return
    send = EngineCoreProc.process_output_sockets

    def process_output_sockets(self: EngineCoreProc, *args: Any, **kwargs: Any) -> None:
        if isinstance(self.scheduler, Scheduler):  # an operator may bring another one, which is not known here
            # What the busy loop has put, or is just putting, into vLLM's own queue is found there.
            bundling: Any = BundlingQueue(self.output_queue, self.scheduler.requests, max_delay_seconds)
            self.output_queue = bundling
        send(self, *args, **kwargs)

    EngineCoreProc.process_output_sockets = process_output_sockets


class BundlingQueue:
    """Stands before an engine core's queue of outputs. One thread puts in, another takes out.

    Args:
        sent: vLLM's queue, which holds what is to be sent.
        requests: the engine's, by id.
        max_delay_seconds: the longest that a token is to be held back.
        clock: tells the time, as ``time.monotonic`` does.
    """

    def __init__(
        self,
        sent: queue.Queue[Any],
        requests: Mapping[str, Request],
        max_delay_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sent = sent
        self._requests = requests
        self._max_delay = max_delay_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._bundles: dict[int, Bundle] = {}

    def put_nowait(self, item: Item) -> None:
        """Leave the outputs of a step."""
        if isinstance(item, bytes) or item[0] < 0:
            self._sent.put_nowait(item)
            return
        index, step = item
        with self._lock:
            if (bundle := self._bundles.get(index)) is None:
                bundle = self._bundles[index] = Bundle(self._requests, Pace(self._max_delay))
            was_empty = bundle.since is None
            outputs = bundle.add(step)
            for message in outputs:
                self._sent.put_nowait((index, message))
            if was_empty and not outputs:
                self._sent.put_nowait(None)  # whoever waits looks for how long it may

    def get(self) -> Item:
        """Wait for what is to be sent next: what the busy loop has let go, or what has been held for long enough.

        An engine that slows down all of a sudden lets nothing go by itself.
        """
        while True:
            try:
                item: Item | None = self._sent.get(timeout=self._seconds_left())
            except queue.Empty:
                item = self._overdue()
            if item is not None:
                return item

    def _seconds_left(self) -> float | None:
        with self._lock:
            since = [bundle.since for bundle in self._bundles.values() if bundle.since is not None]
        return max(min(since) + self._max_delay - self._clock(), 0.0) if since else None

    def _overdue(self) -> Item | None:
        with self._lock:
            if not self._sent.empty():
                return None  # it came meanwhile, and may be older
            now = self._clock()
            for index, bundle in self._bundles.items():
                if bundle.since is not None and now >= bundle.since + self._max_delay:
                    return index, bundle.take()
        return None
