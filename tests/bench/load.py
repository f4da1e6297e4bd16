"""The load process: ``python -m tests.bench.load PEER PLAN``.

It reads from its standard input first what the peer's ``start`` found, then one cell a line, and answers each with a
line of what it measured.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from statistics import fmean
from time import perf_counter
from typing import TextIO

from tests.bench.asks import Asks
from tests.bench.clocks import CpuClock, pss_mib
from tests.bench.measured import Measured, Spread
from tests.bench.peers import peer_named
from tests.bench.peers.peer import Answer, Client
from tests.bench.plan import Ask, Cell, Plan


async def measure(client: Client, cell: Cell, serials: Iterator[int]) -> Measured:
    """Warm up, then measure."""
    asks, streams = Asks(cell, serials), cell.load.streams
    if cell.warm_up_answers:
        await _ask_on(client, asks, streams, streams * cell.warm_up_answers)
    processes = client.processes()
    clocks = [CpuClock(pids) for pids in (processes.front_end, processes.engine, processes.client)]
    cpu_before, began = [clock.seconds() for clock in clocks], perf_counter()
    if cell.rate:
        answers = await _ask_at_random(client, asks, cell)
    else:
        answers = await _ask_on(client, asks, streams, cell.answers)
    seconds = perf_counter() - began
    front_end, engine, client_cpu = (clock.seconds() - before for clock, before in zip(clocks, cpu_before, strict=True))
    tokens = sum(answer.output_tokens for answer in answers)
    gaps = [[later - earlier for earlier, later in pairwise(answer.chunk_times)] for answer in answers]
    return Measured(
        load=cell.load.label,
        answers=len(answers),
        answers_per_second=round(_answers_per_second(answers, began), 4),
        prompt_tokens=round(fmean(answer.prompt_tokens for answer in answers), 1),
        output_tokens=tokens,
        chunks=sum(len(answer.chunk_times) for answer in answers),
        seconds=round(seconds, 6),
        tokens_per_second=round(tokens / seconds, 2),
        front_end_us_per_token=round(1e6 * front_end / tokens, 3),
        engine_us_per_token=round(1e6 * engine / tokens, 3),
        client_us_per_token=round(1e6 * client_cpu / tokens, 3),
        client_share=round(client_cpu / seconds, 4),
        front_end_mib=round(pss_mib(processes.front_end), 1),
        engine_mib=round(pss_mib(processes.engine), 1),
        answer_ms=Spread.of([answer.chunk_times[-1] - answer.began for answer in answers]),
        ttft_ms=Spread.of([answer.chunk_times[0] - answer.began for answer in answers]),
        gap_ms=Spread.of([gap for of_answer in gaps for gap in of_answer]),
        longest_gap_ms=Spread.of([max(of_answer, default=0.0) for of_answer in gaps]).p50,
    )


async def _ask_on(client: Client, asks: Asks, streams: int, questions: int) -> list[Answer]:
    """So many streams, each asking anew as soon as its answer has ended, until enough has been asked."""
    left = iter(range(questions))
    answers: list[Answer] = []

    async def stream() -> None:
        answers.extend([await _one(client, asks.next()) for _ in left])

    async with asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(stream())
    return answers


async def _ask_at_random(client: Client, asks: Asks, cell: Cell) -> list[Answer]:
    """Callers who arrive whatever has become of those before them."""
    draw = random.Random(cell.seed)
    answers: list[Answer] = []

    async def caller(arrived_at: float, ask: Ask) -> None:
        answer = await _one(client, ask)
        answer.began = arrived_at  # a load process that is late must not make a wait look shorter
        answers.append(answer)

    at = perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(cell.answers):
            at += draw.expovariate(cell.rate)
            await asyncio.sleep(max(0.0, at - perf_counter()))
            group.create_task(caller(at, asks.next()))
    return answers


async def _one(client: Client, ask: Ask) -> Answer:
    answer = await client.answer(ask)
    if not answer.chunk_times:
        raise ValueError("an answer without text: no time can be told from it")
    return answer


def _answers_per_second(answers: Sequence[Answer], began: float) -> float:
    """From the pieces that had come when the last question was asked: until then no stream had rested."""
    last_asked = max(answer.began for answer in answers)
    times = [came_at for answer in answers for came_at in answer.chunk_times]
    come_by_then = sum(came_at <= last_asked for came_at in times)
    if not come_by_then:  # all were asked at once
        come_by_then, last_asked = len(times), max(times)
    return len(answers) * come_by_then / len(times) / (last_asked - began)


async def _serve(name: str, plan: Plan, replies: TextIO) -> None:
    found = (await asyncio.to_thread(sys.stdin.readline)).rstrip("\n")
    client, serials = await peer_named(name).connect(plan, found), count()
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            measured = await measure(client, Cell.model_validate_json(line), serials)
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
