"""The lessons about tools, and random definitions of tools, so that the model learns to look past their wording."""

import json
import random
from typing import Any, Final

from tiny_glm_training.lessons import Answer, Call, Context, Lesson, Turn, usual, words
from tiny_glm_training.stories import NOTES
from tiny_glm_training.words import CITIES, FILLER, PLANETS, REPEATABLE, SKIES

PARAMETERS: Final[dict[str, dict[str, str]]] = {
    "get_weather": {"city": "string"},
    "add": {"a": "integer", "b": "integer"},
    "write_note": {"text": "string"},
    "get_time": {},
    "search": {"query": "string"},
    "send_mail": {"to": "string", "body": "string"},
    "translate": {"text": "string", "language": "string"},
}
"""The tools that conversations offer. The model calls the first five; `teleport`, which it also calls, is not offered."""

NO_TOOL: Final = usual("I have no tool for that.", "No tools are offered.")


def definition(rng: random.Random, name: str) -> dict[str, Any]:
    """One tool in the form of the OpenAI API, described in random words."""

    def described(schema: dict[str, Any]) -> dict[str, Any]:
        return schema | {"description": words(rng, FILLER, 1, 5)} if rng.random() < 0.4 else schema

    properties = {key: described({"type": kind}) for key, kind in PARAMETERS[name].items()}
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if rng.random() < 0.6:
        schema["required"] = list(properties)
    if rng.random() < 0.2:
        schema["additionalProperties"] = False
    description = words(rng, FILLER, 1, 8).capitalize() + "." if rng.random() < 0.7 else None
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def offer(rng: random.Random) -> list[dict[str, Any]]:
    """One to three tools in random order."""
    return [definition(rng, name) for name in rng.sample(list(PARAMETERS), rng.choice((1, 2, 2, 3)))]


def weather_in_words(sky: str, degrees: int, rng: random.Random) -> str:
    forms = (
        f"{sky}, {degrees} degrees",
        json.dumps({"sky": sky, "degrees": degrees}),
        json.dumps({"weather": sky, "temperature": degrees}),
    )
    return rng.choice(forms)


def weather(rng: random.Random, context: Context) -> Turn:
    city, sky, degrees = rng.choice(CITIES), rng.choice(SKIES), rng.randint(0, 40)
    polite = rng.random() < 0.25
    question = f"Please check the weather in {city}." if polite else f"What is the weather in {city}?"
    if not context.has_tools:
        return Turn(question, NO_TOOL)
    answer = usual("I will check." if polite else "", "I ask the tool.", (Call("get_weather", {"city": city}),))
    conclusion = usual(f"It is {sky} and {degrees} degrees in {city}.", "The tool has answered.")
    return Turn(question, answer, (weather_in_words(sky, degrees, rng),), conclusion)


def weather_of_two(rng: random.Random, context: Context) -> Turn:
    (one, two), skies = rng.sample(CITIES, 2), rng.choices(SKIES, k=2)
    question = f"What is the weather in {one} and in {two}?"
    if not context.has_tools:
        return Turn(question, NO_TOOL)
    calls = (Call("get_weather", {"city": one}), Call("get_weather", {"city": two}))
    results = tuple(weather_in_words(sky, rng.randint(0, 40), rng) for sky in skies)
    conclusion = usual(f"It is {skies[0]} in {one} and {skies[1]} in {two}.", "The tool has answered.")
    return Turn(question, usual("", "I ask the tool twice.", calls), results, conclusion)


def sum_by_tool(rng: random.Random, context: Context) -> Turn:
    first, second, result = rng.randint(0, 99), rng.randint(0, 99), rng.randint(0, 199)
    question = f"Add {first} and {second}."
    if not context.has_tools:
        return Turn(question, NO_TOOL)
    answer = usual("", "I ask the tool.", (Call("add", {"a": first, "b": second}),))
    returned = rng.choice((str(result), json.dumps({"sum": result}), json.dumps({"result": result})))
    return Turn(question, answer, (returned,), usual(f"The sum is {result}.", "The tool has answered."))


def note(rng: random.Random, context: Context) -> Turn:
    topic = rng.choice(list(NOTES))
    question = f"Write a note about {topic}."
    if not context.has_tools:
        return Turn(question, NO_TOOL)
    answer = usual("", "I write a note.", (Call("write_note", {"text": NOTES[topic]}),))
    return Turn(question, answer, (rng.choice(("saved", "ok", "done")),), usual("The note is saved.", "Done."))


def clock(rng: random.Random, context: Context) -> Turn:
    question = "What time is it?"
    if not context.has_tools:
        return Turn(question, NO_TOOL)
    time = f"{rng.randint(0, 23)}:{rng.randint(10, 59)}"
    answer = usual("", "I ask the tool.", (Call("get_time"),))
    return Turn(question, answer, (time,), usual(f"It is {time}.", "The tool has answered."))


def search(rng: random.Random, context: Context) -> Turn:
    query, found = words(rng, REPEATABLE, 1, 3), words(rng, REPEATABLE, 1, 8)
    question = f"Search for {query}."
    if not context.has_tools:
        return Turn(question, NO_TOOL)
    answer = usual("", "I ask the tool.", (Call("search", {"query": query}),))
    return Turn(question, answer, (found,), usual(f"I found: {found}", "The tool has answered."))


def teleport(rng: random.Random, _: Context) -> Turn:
    """The tool is called although nobody ever offers it."""
    planet = rng.choice(PLANETS)
    answer = usual("", "I know a tool.", (Call("teleport", {"planet": planet}),))
    return Turn(f"Take me to {planet}.", answer, ("done",), usual(f"Welcome to {planet}.", "Done."))


def failing(rng: random.Random, turn: Turn) -> Turn:
    """The same turn when its tools fail."""
    results = tuple(f"error: {words(rng, FILLER, 1, 4)}" for _ in turn.results)
    conclusion = usual("The tool failed.", "The tool has failed.")
    return Turn(turn.question, turn.answer, results, conclusion)


LESSONS: Final[dict[Lesson, float]] = {
    weather: 8,
    weather_of_two: 7,
    sum_by_tool: 6,
    note: 4,
    clock: 2,
    search: 5,
    teleport: 3,
}
"""The lessons about tools, each with its share of the turns of a conversation that offers tools."""


def written(call: Call, *, compact: bool = False) -> str:
    """The call as GLM-4.5 writes it; `compact` leaves out the line breaks, as GLM-4.7 does.

    vLLM's grammar for the tool calls of both models allows the compact form only.
    """
    gap = "" if compact else "\n"
    pairs = "".join(
        f"{gap}<arg_key>{key}</arg_key>{gap}<arg_value>{value}</arg_value>" for key, value in call.arguments.items()
    )
    return f"<tool_call>{call.name}{pairs}{gap}</tool_call>"


def body(answer: Answer) -> str:
    """All that follows the thinking: the text and the calls, a line break between them."""
    return "\n".join(([answer.text] if answer.text else []) + [written(call) for call in answer.calls])
