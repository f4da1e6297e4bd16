"""The load process: ``python -m tests.bench.load PEER PLAN``.

It reads from its standard input first what the peer's ``start`` found, then one cell a line, and answers each with a
line of what it measured.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import pairwise
from time import perf_counter
from typing import TextIO

import psutil

from tests.bench.clocks import CpuClock
from tests.bench.measured import Measured, Spread
from tests.bench.peers import peer_named
from tests.bench.peers.peer import Answer, Client
from tests.bench.plan import Ask, Cell, Plan


async def measure(client: Client, cell: Cell) -> Measured:
    """Warm up, then measure."""
    await _ask_all(client, cell.ask, cell.streams, cell.warm_up_answers)
    processes = client.processes()
    clocks = [CpuClock(pids) for pids in (processes.front_end, processes.engine, processes.client)]
    cpu_before, began = [clock.seconds() for clock in clocks], perf_counter()
    answers = await _ask_all(client, cell.ask, cell.streams, cell.answers_per_stream)
    seconds = perf_counter() - began
    front_end, engine, client_cpu = (clock.seconds() - before for clock, before in zip(clocks, cpu_before, strict=True))
    tokens = sum(answer.output_tokens for answer in answers)
    gaps = [[later - earlier for earlier, later in pairwise(answer.chunk_times)] for answer in answers]
    return Measured(
        streams=cell.streams,
        answers=len(answers),
        prompt_tokens=answers[0].prompt_tokens,
        output_tokens=tokens,
        chunks=sum(len(answer.chunk_times) for answer in answers),
        seconds=round(seconds, 6),
        tokens_per_second=round(tokens / seconds, 2),
        front_end_us_per_token=round(1e6 * front_end / tokens, 3),
        engine_us_per_token=round(1e6 * engine / tokens, 3),
        client_us_per_token=round(1e6 * client_cpu / tokens, 3),
        client_share=round(client_cpu / seconds, 4),
        front_end_mib=round(sum(map(_mib, processes.front_end)), 1),
        ttft_ms=Spread.of([answer.chunk_times[0] - answer.began for answer in answers]),
        gap_ms=Spread.of([gap for of_answer in gaps for gap in of_answer]),
        longest_gap_ms=Spread.of([max(of_answer, default=0.0) for of_answer in gaps]).p50,
    )


async def _ask_all(client: Client, ask: Ask, streams: int, answers_per_stream: int) -> list[Answer]:
    answers: list[Answer] = []

    async def stream() -> None:
        for _ in range(answers_per_stream):
            answer = await client.answer(ask)
            if not answer.chunk_times:
                raise ValueError("an answer without text: no time can be told from it")
            answers.append(answer)

    async with asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(stream())
    return answers


def _mib(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().pss) / 2**20


async def _serve(name: str, plan: Plan, replies: TextIO) -> None:
    found = (await asyncio.to_thread(sys.stdin.readline)).rstrip("\n")
    client = await peer_named(name).connect(plan, found)
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            measured = await measure(client, Cell.model_validate_json(line))
            replies.write(measured.model_dump_json() + "\n")
            replies.flush()
    finally:
        await client.close()


def main() -> None:
    """Run. Whatever libraries print on standard output goes to standard error, as replies go there."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asyncio.run(_serve(sys.argv[1], Plan.model_validate_json(sys.argv[2]), replies))


if __name__ == "__main__":
    main()
