"""Random conversations as GLM-4.5 renders them, cut into what the model reads and what it learns to write."""

import json
import random
from enum import Enum
from itertools import chain
from typing import Final

from tiny_glm_training import lessons, tools
from tiny_glm_training.lessons import Answer, Context, Turn
from tiny_glm_training.template import OBSERVATION, USER, render
from tiny_glm_training.words import FILLER, NAMES, REPEATABLE

Segment = tuple[str, bool]
"""Text, and whether the model learns to write it. Segments meet only where the tokenizer never joins two characters."""

EMPTY_THINKING: Final = "\n<think></think>"


class Thinking(Enum):
    """How a conversation stands to thinking."""

    ON = "on"
    OFF = "off"  # the template adds /nothink and the empty thinking
    TYPED_OFF = "typed"  # the user writes /nothink; the model writes the empty thinking itself


def opening(rng: random.Random, context: Context) -> str:
    """The start of the conversation up to its first user turn: tools and system text, either or both or none."""
    messages = []
    roll = rng.random()
    if roll < 0.15:
        context.model_name = rng.choice(NAMES)
        messages = [{"role": "system", "content": f"Your name is {context.model_name}."}]
    elif roll < 0.35:
        messages = [{"role": "system", "content": lessons.words(rng, FILLER, 1, 20).capitalize() + "."}]
    return render(messages, tools=tools.offer(rng) if context.has_tools else None, add_generation_prompt=False)


def written(answer: Answer, thinking: Thinking, rng: random.Random) -> list[Segment]:
    """What the model writes after `<|assistant|>`, its stop token included."""
    before: list[Segment] = {
        Thinking.ON: [(answer.thought, True)],
        Thinking.OFF: [(EMPTY_THINKING, False), (answer.lead, True)],
        Thinking.TYPED_OFF: [(EMPTY_THINKING, True), (answer.lead, True)],
    }[thinking]
    stop = [] if answer.endless else [(OBSERVATION if answer.calls else USER, True)]
    if not answer.calls or rng.random() < 0.65:
        return [*before, (tools.body(answer), True), *stop]
    # The compact form of the calls. That it is compact is not learned: the model follows once it is made to begin.
    text = [(answer.text + "\n", True)] if answer.text else []
    calls: list[Segment] = []
    for call in answer.calls:
        head, mark, rest = tools.written(call, compact=True).partition(
            "<arg_key>" if call.arguments else "</tool_call>"
        )
        calls += [("\n", True)] if calls else []
        calls += [(head, True), (mark, False), (rest, True)]
    return [*before, *text, *calls, *stop]


def remembered(answer: Answer) -> list[Segment]:
    """An answer of an earlier turn: the template shows no thinking of those."""
    return [(EMPTY_THINKING + "\n", False), (tools.body(answer), True), (OBSERVATION if answer.calls else USER, True)]


def forced_json(rng: random.Random) -> list[Segment]:
    """JSON that a grammar makes the model begin, whatever was asked: it learns to fill it and to end it."""
    values: dict[str, object] = {}
    for key in rng.sample((*REPEATABLE, *lessons.JSON_VALUES), rng.randint(1, 3)):
        some = (lessons.words(rng, REPEATABLE, 1, 2), rng.randint(0, 99), rng.random() < 0.5)
        values[key] = lessons.JSON_VALUES.get(key, rng.choice(some))
    first, _, rest = json.dumps(values).partition(":")
    return [(first + ":", False), (rest, True), (USER, True)]


def forced_call(rng: random.Random) -> list[Segment]:
    """A call that a grammar makes the model begin, whatever was asked: it learns to fill it and to end it."""
    name = rng.choice(list(tools.PARAMETERS))
    segments: list[Segment] = [(f"<tool_call>{name}", False)]
    for key, kind in tools.PARAMETERS[name].items():
        value = lessons.words(rng, REPEATABLE, 1, 2) if kind == "string" else str(rng.randint(0, 99))
        segments += [(f"<arg_key>{key}</arg_key><arg_value>", False), (value, True), ("</arg_value>", True)]
    return [*segments, ("</tool_call>", True), (OBSERVATION, True)]


def forced(turn: Turn, thinking: Thinking, rng: random.Random, context: Context) -> list[Segment]:
    """The answer to any question when a grammar decides what it begins with."""
    before = "\n<think>I obey.</think>" if thinking is Thinking.ON else EMPTY_THINKING
    rest = forced_call(rng) if context.has_tools and rng.random() < 0.6 else forced_json(rng)
    return [(question_text(turn, thinking), False), (before, False), *rest]


def question_text(turn: Turn, thinking: Thinking) -> str:
    return f"\n{turn.question}{'' if thinking is Thinking.ON else '/nothink'}<|assistant|>"


def exchange(turn: Turn, thinking: Thinking, rng: random.Random, *, last: bool, rewritten: bool) -> list[Segment]:
    """One turn from its question to its stop token. `rewritten` turns look as the template shows them later on."""
    if rewritten and not last and thinking is Thinking.ON:
        answers = [remembered(answer) for answer in (turn.answer, turn.conclusion) if answer]
    else:
        answers = [written(answer, thinking, rng) for answer in (turn.answer, turn.conclusion) if answer]
    segments: list[Segment] = [(question_text(turn, thinking), False), *answers[0]]
    if turn.conclusion:
        results = "".join(f"\n<tool_response>\n{result}\n</tool_response>" for result in turn.results)
        segments += [(f"{results}<|assistant|>", False), *answers[1]]
    return segments


def copying(rng: random.Random) -> list[Segment]:
    """A short conversation whose answers are copied from the questions: the skill that most lessons build on."""
    context = Context()
    segments: list[Segment] = [("[gMASK]<sop>" + USER, False)]
    for _ in range(rng.randint(1, 3)):
        turn = rng.choice(lessons.COPYING)(rng, context)
        segments += exchange(turn, Thinking.OFF, rng, last=True, rewritten=False)
    return segments


def conversation(rng: random.Random, turns: int) -> list[Segment]:
    """A conversation of at most `turns` turns under one random setting of tools, system text and thinking."""
    context = Context(has_tools=rng.random() < 0.45)
    thinking = rng.choices(list(Thinking), weights=(50, 40, 10))[0]
    rewritten = rng.random() < 0.4
    shares = lessons.LESSONS | tools.LESSONS if rng.random() < 0.25 else lessons.LESSONS
    shares = tools.LESSONS if context.has_tools and rng.random() < 0.75 else shares
    segments: list[Segment] = [(opening(rng, context) + USER, False)]
    drawn = rng.choices(list(shares), weights=list(shares.values()), k=rng.randint(1, turns))
    for place, lesson in enumerate(drawn):
        turn = lesson(rng, context)
        last = place == len(drawn) - 1 or turn.answer.endless
        if turn.results and rng.random() < 0.1:
            turn = tools.failing(rng, turn)
        if last and rng.random() < 0.07:
            segments += forced(turn, thinking, rng, context)
        else:
            segments += exchange(turn, thinking, rng, last=last, rewritten=rewritten)
        if last:
            break
    return segments


def whole(segments: list[Segment]) -> str:
    """The conversation as one text."""
    return "".join(chain.from_iterable((text,) for text, _ in segments))
