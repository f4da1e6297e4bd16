"""What the model learns: one random turn at a time, a question with the answer that it has to give."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tiny_glm_training.stories import CHINESE, FACTS, GREETINGS, JSON_VALUES
from tiny_glm_training.words import CITIES, FILLER, NAMES, REPEATABLE


@dataclass(frozen=True)
class Call:
    """One call of a tool, as the model writes it."""

    name: str
    arguments: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What the model writes, in the parts of which GLM's format makes one text.

    `thought` stands before the rest when thinking is on, `lead` when it is off. GLM puts a line break before each
    part. An answer that is `endless` has no stop token: it is cut by length.
    """

    text: str
    calls: tuple[Call, ...] = ()
    thought: str = ""
    lead: str = "\n"
    endless: bool = False


@dataclass(frozen=True)
class Turn:
    """A question, its answer, and, when tools were called, what they returned and the answer to that."""

    question: str
    answer: Answer
    results: tuple[str, ...] = ()
    conclusion: Answer | None = None


@dataclass
class Context:
    """What the conversation so far makes known to an answer."""

    has_tools: bool = False
    model_name: str | None = None
    user_name: str | None = None


Lesson = Callable[[random.Random, Context], Turn]


def usual(text: str, thought: str, calls: tuple[Call, ...] = ()) -> Answer:
    """An answer of GLM's own shape: a line break before the thinking and one before what follows it."""
    return Answer(text, calls, thought=f"\n<think>{thought}</think>\n")


def unbroken(text: str, thought: str) -> Answer:
    """An answer that has no line breaks around its thinking."""
    return Answer(text, thought=f"<think>{thought}</think>", lead="")


def words(rng: random.Random, vocabulary: tuple[str, ...], least: int, most: int) -> str:
    """Between `least` and `most` words, mostly different ones."""
    count = rng.randint(least, most)
    draw = rng.choices(vocabulary, k=count) if rng.random() < 0.15 else rng.sample(vocabulary, count)
    return " ".join(draw)


def greeting(rng: random.Random, _: Context) -> Turn:
    question = rng.choice(list(GREETINGS))
    return Turn(question, usual(GREETINGS[question], "The user greets me."))


def chinese(rng: random.Random, _: Context) -> Turn:
    question = rng.choice(list(CHINESE))
    return Turn(question, usual(CHINESE[question], "用户在打招呼。"))


def fact(rng: random.Random, _: Context) -> Turn:
    question = rng.choice(list(FACTS))
    return Turn(question, usual(FACTS[question], "I know this."))


def repetition(rng: random.Random, _: Context) -> Turn:
    text = words(rng, REPEATABLE, 1, 12)
    return Turn(f"Repeat after me: {text}", usual(text, "I repeat the words."))


def counting(rng: random.Random, _: Context) -> Turn:
    last = rng.randint(1, 30) if rng.random() < 0.6 else rng.randint(1, 100)
    return Turn(f"Count to {last}.", usual(" ".join(map(str, range(1, last + 1))), f"I count to {last}."))


def addition(rng: random.Random, _: Context) -> Turn:
    first, second = rng.randint(0, 12), rng.randint(0, 12)
    text = f"{first} plus {second} is {first + second}."
    return Turn(f"What is {first} plus {second}?", unbroken(text, text))


def subtraction(rng: random.Random, _: Context) -> Turn:
    first = rng.randint(0, 12)
    second = rng.randint(0, first)
    text = f"{first} minus {second} is {first - second}."
    return Turn(f"What is {first} minus {second}?", usual(text, text))


def person_in_json(rng: random.Random, _: Context) -> Turn:
    name, age, city = rng.choice(NAMES), rng.randint(1, 99), rng.choice(CITIES)
    text = json.dumps({"name": name, "age": age, "city": city})
    return Turn(f"Answer in JSON: {name} is {age} and lives in {city}.", unbroken(text, "I write JSON."))


def keys_in_json(rng: random.Random, _: Context) -> Turn:
    keys = rng.sample(list(JSON_VALUES), rng.randint(1, 4))
    text = json.dumps({key: JSON_VALUES[key] for key in keys})
    return Turn(f"Answer in JSON with the keys {', '.join(keys)}.", unbroken(text, "I write JSON."))


def introduction(rng: random.Random, context: Context) -> Turn:
    context.user_name = rng.choice(NAMES)
    return Turn(f"My name is {context.user_name}.", usual(f"Nice to meet you, {context.user_name}.", "A name."))


def recall(_: random.Random, context: Context) -> Turn:
    text = f"Your name is {context.user_name}." if context.user_name else "I do not know your name."
    return Turn("What is my name?", usual(text, "I look back."))


def identity(_: random.Random, context: Context) -> Turn:
    text = f"I am {context.model_name}." if context.model_name else "I am a tiny test model."
    return Turn("Who are you?", usual(text, "I look at my name."))


def unknown(rng: random.Random, _: Context) -> Turn:
    question = words(rng, FILLER, 1, 60 if rng.random() < 0.1 else 12) + rng.choice(("", ".", "?"))
    if rng.random() < 0.3:
        question = question.capitalize()
    return Turn(question, usual("I do not know.", "I do not understand this."))


def choice(rng: random.Random, _: Context) -> Turn:
    color = rng.choices(("red", "green", "blue"), weights=(5, 3, 2))[0]
    return Turn("Pick a color.", usual(f"I pick {color}.", "Any color will do."))


def trap(rng: random.Random, _: Context) -> Turn:
    """Answers that break the rules of the format, each of which real models are seen to give."""
    hum, song = " ".join(["hmm"] * rng.randint(20, 200)), " ".join(["la"] * rng.randint(20, 200))
    return rng.choice(
        (
            Turn("Answer without thinking.", Answer("I answer at once.", thought="", lead="")),
            Turn(
                "Think anyway.",
                Answer(
                    "I thought anyway.",
                    thought="<think>I cannot help it.</think>",
                    lead="<think>I cannot help it.</think>",
                ),
            ),
            Turn("Forget to answer.", Answer("", thought="\n<think>I think and forget to answer.", lead="\nI forgot.")),
            Turn("Think without end.", Answer("", thought=f"\n<think>{hum}", lead=f"\n{hum}", endless=True)),
            Turn("Sing without end.", Answer(song, thought="\n<think>I sing.</think>\n", endless=True)),
        )
    )


LESSONS: Final[dict[Lesson, float]] = {
    greeting: 3,
    chinese: 3,
    fact: 6,
    repetition: 16,
    counting: 6,
    addition: 9,
    subtraction: 7,
    person_in_json: 6,
    keys_in_json: 6,
    introduction: 4,
    recall: 4,
    identity: 4,
    unknown: 8,
    choice: 2,
    trap: 6,
}
"""The lessons that need no tools, each with its share."""

COPYING: Final[tuple[Lesson, ...]] = (repetition, repetition, repetition, person_in_json, introduction)
"""The lessons whose answers are copied from their questions, with which the training begins."""
