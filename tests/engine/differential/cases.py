"""The requests of the differential suite: those written by hand, and those that Hypothesis draws, always the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "models"))
from tiny_glm_training import cases as glm  # found by the line before

DRAWN = 90
"""Requests that Hypothesis draws."""
OFF = {"chat_template_kwargs": {"enable_thinking": False}}
SHORT = {"max_completion_tokens": 24}


@dataclass(frozen=True)
class Case:
    """A request in OpenAI's JSON, to be sent whole and streamed, and as a typed one."""

    name: str
    body: dict[str, Any]
    tags: frozenset[str] = field(default_factory=frozenset)
    """What is special about it, for the accepted differences."""


def all_cases() -> list[Case]:
    """Every request, each with a name of its own."""
    found = [*_conversations(), *_options(), *_tool_choices(), *_details(), *_drawn()]
    names = [case.name for case in found]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return found


def ask(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def _conversations() -> Iterator[Case]:
    """All that the model was taught, traps included, thinking as it was taught and switched over."""
    for case in glm.CASES:
        for is_thinking in (case.thinking, not case.thinking):
            kept = is_thinking == case.thinking
            body: dict[str, Any] = {
                "messages": [_message(one) for one in case.messages],
                "max_completion_tokens": 160 if case.stop and kept else 40,
                "chat_template_kwargs": {"enable_thinking": is_thinking},
            }
            if case.tools:
                body["tools"] = glm.TOOLS
            yield Case(f"{case.name}{'' if kept else ', thinking switched over'}", body)


def _options() -> Iterator[Case]:
    """Every option, on a story that goes on long enough to show it."""
    options: list[dict[str, Any]] = [
        {},
        {"max_tokens": 1},
        {"max_tokens": 3},
        {"max_completion_tokens": 40},
        {"stop": "boat"},
        {"stop": ["lay", "boat"]},
        {"stop": [" in a"], "include_stop_str_in_output": True},
        {"stop": "never said"},
        {"stop_token_ids": [13]},
        {"stop_token_ids": [11, 13], "max_completion_tokens": 60},
        {"min_tokens": 20, "stop": "boat"},
        {"min_tokens": 3},
        {"ignore_eos": True},
        {"seed": 7},
        {"seed": 2**60},
        {"temperature": 0.8, "seed": 11},
        {"temperature": 1.5, "seed": 12, "top_p": 0.9},
        {"temperature": 0.7, "seed": 13, "top_k": 3},
        {"temperature": 1.0, "seed": 14, "min_p": 0.2},
        {"temperature": 0.7, "seed": 3, "n": 2},
        {"temperature": 1.2, "seed": 5, "n": 3},
        {"n": 1},
        {"top_p": 0.5, "top_k": 5, "min_p": 0.1},
        {"top_k": -1},
        {"presence_penalty": 1.5},
        {"frequency_penalty": 1.5},
        {"frequency_penalty": -0.5, "presence_penalty": -0.5},
        {"repetition_penalty": 1.3},
        {"logit_bias": {"79": -100}},
        {"logit_bias": {"406": 5, "220": -5}},
        {"bad_words": ["boat"]},
        {"bad_words": ["quiet harbour", "Once"]},
        {"allowed_token_ids": [13, 198, 220, 284, 323, 406, 724]},
        {"return_token_ids": True},
        {"return_prompt_text": True},
        {"skip_special_tokens": False},
        {"spaces_between_special_tokens": False},
        {"repetition_detection": {"max_pattern_size": 4, "min_pattern_size": 1, "min_count": 3}},
        {"truncate_prompt_tokens": 6},
        {"truncate_prompt_tokens": 6, "truncation_side": "left"},
        {"truncate_prompt_tokens": 6, "truncation_side": "right"},
        {"truncate_prompt_tokens": 500},
        {"user": "somebody", "metadata": {"a": "b"}, "store": False},
    ]
    for option in options:
        limits = {} if {"max_tokens", "max_completion_tokens"} & option.keys() else SHORT
        yield Case(f"story {json.dumps(option)}", ask("Tell me a story.", **limits, **OFF, **option))
    for option in options[:24]:
        limits = {} if {"max_tokens", "max_completion_tokens"} & option.keys() else SHORT
        yield Case(f"thinks {json.dumps(option)}", ask("Hello", **limits, **option))


def _tool_choices() -> Iterator[Case]:
    """Tools that are offered and whether they may be called."""
    for question in ("What is the weather in Paris?", "Hello", "Search for red river."):
        for choice in ("auto", "none"):
            body = ask(question, tools=glm.TOOLS, tool_choice=choice, max_completion_tokens=80)
            yield Case(f"{question} tool_choice {choice}", body)
            yield Case(f"{question} tool_choice {choice}, no thinking", {**body, **OFF})
    two = "What is the weather in Paris and in Rome?"
    yield Case(
        "two calls, one at a time", ask(two, tools=glm.TOOLS, parallel_tool_calls=False, max_completion_tokens=90)
    )
    for tokens in (12, 16, 20, 24, 30):
        yield Case(f"a call cut after {tokens}", ask(two, tools=glm.TOOLS, max_completion_tokens=tokens, **OFF))


def _details() -> Iterator[Case]:
    """Log probabilities, of several forms, and other ways to write a conversation."""
    for text in ("Tell me a story.", "Send me some emoji.", "给我讲一个故事。", "Hello"):
        for asked in ({"logprobs": True}, {"logprobs": True, "top_logprobs": 4}, {"prompt_logprobs": 2}):
            yield Case(f"{text} {json.dumps(asked)}", ask(text, **SHORT, **OFF, **asked))
    yield Case("some tokens", ask("Hello", logprobs=True, logprob_token_ids=[13, 198], **SHORT, **OFF))
    yield Case("thoughts with logprobs", ask("Hello", logprobs=True, top_logprobs=2, **SHORT))
    yield Case("thoughts with token ids", ask("Hello", return_token_ids=True, **SHORT))
    yield Case("a call with logprobs", ask("What time is it?", tools=glm.TOOLS, logprobs=True, **SHORT, **OFF))
    system = {"role": "system", "content": "Be brief."}
    user = {"role": "user", "content": "Hello"}
    parts = {"role": "user", "content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]}
    answer = {"role": "assistant", "content": "Hello! How can I help you?"}
    thought = {**answer, "reasoning": "The user greets me."}
    talks: dict[str, list[dict[str, Any]]] = {
        "a system message": [system, user],
        "two system messages": [system, system, user],
        "parts of a content": [parts],
        "a longer talk": [user, answer, {"role": "user", "content": "Who are you?"}],
        "earlier thoughts": [user, thought, {"role": "user", "content": "Who are you?"}],
        "names": [{**user, "name": "ada"}],
        "only white space": [{"role": "user", "content": "  \n "}],
        "markers as words": [{"role": "user", "content": "Say </think> and <tool_call>."}],
        "Arabic and emoji": [{"role": "user", "content": "مرحبا 🐼"}],
    }
    for name, messages in talks.items():
        yield Case(name, {"messages": messages, **SHORT, **OFF})
    yield Case("typed /nothink", ask("Hello/nothink", **SHORT))
    said = [user, {"role": "assistant", "content": "Hello! How"}]
    yield Case(
        "a continued answer",
        {"messages": said, "continue_final_message": True, "add_generation_prompt": False, **SHORT, **OFF},
    )


def _drawn() -> list[Case]:
    """Combinations that nobody would write down."""
    questions = [case.messages[-1]["content"] for case in glm.PLAIN]
    fields = st.fixed_dictionaries(
        {
            "max_completion_tokens": st.integers(1, 32),
            "messages": st.lists(st.sampled_from(questions), min_size=1, max_size=3),
        },
        optional={
            "temperature": st.sampled_from([0.0, 0.3, 1.0, 1.9]),
            "top_p": st.sampled_from([0.1, 0.5, 1.0]),
            "top_k": st.integers(1, 50),
            "min_p": st.sampled_from([0.0, 0.3]),
            "presence_penalty": st.sampled_from([-2.0, -0.3, 0.7, 2.0]),
            "frequency_penalty": st.sampled_from([-2.0, -0.3, 0.7, 2.0]),
            "repetition_penalty": st.sampled_from([0.8, 1.2, 2.0]),
            "stop": st.lists(st.sampled_from(["a", "the ", "。", "!", "user", "\n"]), min_size=1, max_size=3),
            "logprobs": st.just(True),
            "return_token_ids": st.just(True),
            "logit_bias": st.dictionaries(
                st.integers(0, 1300).map(str), st.integers(-100, 100), min_size=1, max_size=4
            ),
            "min_tokens": st.integers(0, 1),
            "ignore_eos": st.just(True),
            "chat_template_kwargs": st.fixed_dictionaries({"enable_thinking": st.booleans()}),
        },
    )
    found: dict[str, dict[str, Any]] = {}

    @settings(
        max_examples=DRAWN * 3,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(fields, st.integers(0, 2**31 - 1))
    def draw(drawn: dict[str, Any], seed: int) -> None:
        body = {**drawn, "seed": seed}
        said = drawn["messages"]
        body["messages"] = [
            {"role": role, "content": text}
            for place, text in enumerate(said)
            for role, text in (
                (("user", text), ("assistant", "I see.")) if place < len(said) - 1 else (("user", text),)
            )
        ]
        if len(found) < DRAWN:
            found[json.dumps(body, ensure_ascii=False)] = body

    draw()
    return [Case(f"drawn {name}", body) for name, body in found.items()]


def _message(said: dict[str, Any]) -> dict[str, Any]:
    """A message of the training, whose arguments are objects, as OpenAI's protocol writes it."""
    calls = [
        {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
        for call in said.get("tool_calls", ())
    ]
    return {**said, "tool_calls": calls} if calls else said
