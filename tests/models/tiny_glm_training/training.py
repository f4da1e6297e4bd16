"""The training loop: AdamW over random conversations, with a warm-up and a cosine decay."""

import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch.nn import functional
from transformers import Glm4MoeForCausalLM

from tiny_glm_training.rows import conversation, copying
from tiny_glm_training.tokens import Encoder

Row = tuple[list[int], list[int]]


BEGINNING: Final = 250
"""Steps of nothing but copying. Attention learns to copy late or never when it meets all the lessons at once."""


def batches(encoder: Encoder, rng: random.Random, steps: int) -> Iterator[list[Row]]:
    """One batch a step: copying first, then conversations that grow longer with time."""
    for _ in range(BEGINNING):
        yield [encoder.row(copying(rng)) for _ in range(48)]
    waiting: list[list[Row]] = []
    for step in range(steps - BEGINNING):
        turns = 1 + 4 * step // (steps - BEGINNING)
        waiting = waiting or filled([encoder.row(conversation(rng, turns)) for _ in range(600)], 2700, rng)
        yield waiting.pop()


def filled(rows: list[Row], tokens: int, rng: random.Random) -> list[list[Row]]:
    """The rows in batches of like length, each of `tokens` tokens with its padding, in random order."""
    batches: list[list[Row]] = [[]]
    for row in sorted(rows, key=lambda row: len(row[0])):
        if batches[-1] and len(row[0]) * (len(batches[-1]) + 1) > tokens:
            batches.append([])
        batches[-1].append(row)
    rng.shuffle(batches)
    return batches


def share_of_rate(step: int, steps: int) -> float:
    """The learning rate's course: down to a third while copying, then up again, and a cosine to almost nothing."""
    if step < BEGINNING:
        return min(1.0, (step + 1) / 40) * (1 - 0.7 * step / BEGINNING)
    step, steps = step - BEGINNING, steps - BEGINNING
    return min(1.0, 0.3 + step / 60) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / steps)))


def loss_of(network: Glm4MoeForCausalLM, batch: list[Row]) -> torch.Tensor:
    """The mean loss over the learned tokens. Only those go through the output layer."""
    width = max(len(ids) for ids, _ in batch)
    ids = torch.tensor([row + [0] * (width - len(row)) for row, _ in batch])
    labels = torch.tensor([row + [-100] * (width - len(row)) for _, row in batch])[:, 1:]
    hidden = network.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    learned = labels != -100
    return functional.cross_entropy(network.lm_head(hidden[learned]), labels[learned])


def train(
    network: Glm4MoeForCausalLM,
    encoder: Encoder,
    *,
    seed: int,
    steps: int,
    rate: float = 3e-3,
    report: Callable[[str], None] = print,
) -> None:
    """Trains in place and reports the loss every fifty steps."""
    decayed = [parameter for parameter in network.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in network.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_rate(step, steps))
    network.train()
    start, recent = time.monotonic(), []
    for step, batch in enumerate(batches(encoder, random.Random(seed), steps), start=1):
        loss = loss_of(network, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if step % 50 == 0 or step == steps:
            seconds = time.monotonic() - start
            left = seconds / step * (steps - step)
            report(f"step {step}/{steps}  loss {sum(recent) / len(recent):.4f}  {seconds:.0f} s, {left:.0f} s left")
            recent = []
    network.eval()
