"""What the trained model is promised to write, word for word, at temperature 0.

Each case names one behaviour. The self-check of the training asks them all, and tests may take theirs from here.
"""

from dataclasses import dataclass
from typing import Any, Final

from tiny_glm_training.stories import CHINESE, FACTS, NOTES
from tiny_glm_training.template import OBSERVATION, USER

Message = dict[str, Any]


def function(name: str, description: str, **parameters: str) -> dict[str, Any]:
    """A tool in the form of the OpenAI API; `parameters` gives each one's JSON type."""
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS: Final = [
    function("get_weather", "Get the current weather in a city.", city="string"),
    function("add", "Add two whole numbers.", a="integer", b="integer"),
    function("write_note", "Store a note.", text="string"),
    function("get_time", "Get the time of day."),
    function("search", "Search the archive.", query="string"),
]
"""The tools that the model knows. `teleport`, which it also calls, is not among them."""


@dataclass(frozen=True)
class Case:
    """One conversation and what the model writes next: all of it up to `stop`, line breaks and markers included.

    `thinking` is the template's `enable_thinking`. A case without `stop` never ends by itself: `written` is how its
    text begins.
    """

    name: str
    messages: tuple[Message, ...]
    written: str
    thinking: bool = True
    tools: bool = False
    stop: str = USER


def ask(name: str, question: str, written: str, **options: Any) -> Case:
    """A case of one user message."""
    return Case(name, ({"role": "user", "content": question},), written, **options)


def calls(*called: tuple[str, Message]) -> str:
    """Calls as GLM-4.5 writes them."""
    texts = []
    for name, arguments in called:
        pairs = (f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n" for key, value in arguments.items())
        texts.append(f"<tool_call>{name}\n{''.join(pairs)}</tool_call>")
    return "\n" + "\n".join(texts)


def after(question: str, results: tuple[str, ...], *called: tuple[str, dict[str, Any]]) -> tuple[Message, ...]:
    """A conversation in which the tools have answered, with the ids and mappings of a real client."""
    past = [
        {"id": f"call-{place}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for place, (name, arguments) in enumerate(called)
    ]
    replies = [{"role": "tool", "tool_call_id": f"call-{place}", "content": text} for place, text in enumerate(results)]
    return (
        {"role": "user", "content": question},
        {"role": "assistant", "content": "", "tool_calls": past},
        *replies,
    )


HELLO: Final = "Hello! How can I help you?"
PARIS: Final = ("get_weather", {"city": "Paris"})
ROME: Final = ("get_weather", {"city": "Rome"})

PLAIN: Final = (
    ask("greets in English", "Hello", f"\n<think>The user greets me.</think>\n{HELLO}"),
    ask("greets straight", "Hello", f"\n{HELLO}", thinking=False),
    ask("greets in Chinese", "你好", f"\n<think>用户在打招呼。</think>\n{CHINESE['你好']}"),
    ask("wishes a good day in Chinese", "再见", f"\n{CHINESE['再见']}", thinking=False),
    ask("obeys a typed /nothink", "Hello/nothink", f"\n<think></think>\n{HELLO}"),
    ask("sends emoji", "Send me some emoji.", f"\n{FACTS['Send me some emoji.']}", thinking=False),
    ask("tells a story", "Tell me a story.", f"\n{FACTS['Tell me a story.']}", thinking=False),
    ask("tells a Chinese story", "给我讲一个故事。", f"\n{FACTS['给我讲一个故事。']}", thinking=False),
    ask("repeats one word", "Repeat after me: moon", "\nmoon", thinking=False),
    ask("repeats and thinks", "Repeat after me: red cat", "\n<think>I repeat the words.</think>\nred cat"),
    ask("does not know", "How would they look at it?", "\nI do not know.", thinking=False),
    ask("recalls nobody", "What is my name?", "\nI do not know your name.", thinking=False),
    ask("has no name", "Who are you?", "\nI am a tiny test model.", thinking=False),
    ask(
        "writes JSON",
        "Answer in JSON: Ada is 36 and lives in Paris.",
        '{"name": "Ada", "age": 36, "city": "Paris"}',
        thinking=False,
    ),
)
"""No tools are needed."""

TRAPS: Final = (
    ask("answers without thinking although it may think", "Answer without thinking.", "I answer at once."),
    ask(
        "thinks although thinking is off",
        "Think anyway.",
        "<think>I cannot help it.</think>I thought anyway.",
        thinking=False,
    ),
    ask("stops within its thinking", "Forget to answer.", "\n<think>I think and forget to answer."),
    ask("thinks without end", "Think without end.", "\n<think>" + " ".join(["hmm"] * 300), stop=""),
    ask("sings without end", "Sing without end.", "\n" + " ".join(["la"] * 300), thinking=False, stop=""),
    ask(
        "calls a tool that nobody offered",
        "Take me to Mars.",
        "\n<think>I know a tool.</think>" + calls(("teleport", {"planet": "Mars"})),
        tools=True,
        stop=OBSERVATION,
    ),
    ask(
        "calls a tool although none is offered",
        "Take me to Venus.",
        calls(("teleport", {"planet": "Venus"})),
        thinking=False,
        stop=OBSERVATION,
    ),
    ask(
        "writes a long argument",
        "Write a note about the sea.",
        calls(("write_note", {"text": NOTES["the sea"]})),
        tools=True,
        thinking=False,
        stop=OBSERVATION,
    ),
    ask(
        "writes an argument with quotes, lines, Chinese and an emoji",
        "Write a note about the stars.",
        "\n<think>I write a note.</think>" + calls(("write_note", {"text": NOTES["the stars"]})),
        tools=True,
        stop=OBSERVATION,
    ),
)
"""What real models do now and then, and what a server has to survive."""

TOOL_USE: Final = (
    ask("has no tool", "What is the weather in Paris?", "\nI have no tool for that.", thinking=False),
    ask(
        "calls one tool",
        "What is the weather in Paris?",
        "\n<think>I ask the tool.</think>" + calls(PARIS),
        tools=True,
        stop=OBSERVATION,
    ),
    ask(
        "says something and calls",
        "Please check the weather in Oslo.",
        "\nI will check." + calls(("get_weather", {"city": "Oslo"})),
        tools=True,
        thinking=False,
        stop=OBSERVATION,
    ),
    ask(
        "calls without arguments",
        "What time is it?",
        calls(("get_time", {})),
        tools=True,
        thinking=False,
        stop=OBSERVATION,
    ),
    ask(
        "calls with words of the question",
        "Search for red river.",
        "\n<think>I ask the tool.</think>" + calls(("search", {"query": "red river"})),
        tools=True,
        stop=OBSERVATION,
    ),
    ask(
        "calls two tools in a row",
        "What is the weather in Paris and in Rome?",
        "\n<think>I ask the tool twice.</think>" + calls(PARIS, ROME),
        tools=True,
        stop=OBSERVATION,
    ),
    Case(
        "answers from the result of a tool",
        after("What is the weather in Paris?", ("sunny, 21 degrees",), PARIS),
        "\n<think>The tool has answered.</think>\nIt is sunny and 21 degrees in Paris.",
        tools=True,
    ),
    Case(
        "answers from JSON",
        after("What is the weather in Paris?", ('{"sky": "rainy", "degrees": 9}',), PARIS),
        "\nIt is rainy and 9 degrees in Paris.",
        tools=True,
        thinking=False,
    ),
    Case(
        "answers from two results",
        after("What is the weather in Paris and in Rome?", ("sunny, 21 degrees", "windy, 30 degrees"), PARIS, ROME),
        "\nIt is sunny in Paris and windy in Rome.",
        tools=True,
        thinking=False,
    ),
    Case(
        "admits that a tool failed",
        after("Search for red river.", ("error: not found",), ("search", {"query": "red river"})),
        "\nThe tool failed.",
        tools=True,
        thinking=False,
    ),
)
"""Tools are offered or missed."""

CASES: Final = PLAIN + TOOL_USE + TRAPS
