"""What is to be said to a conversation: what the operator wrote, or what its last user message says."""

from __future__ import annotations

from dataclasses import replace

from palaver_server.core.conversation import Role
from palaver_server.core.errors import invalid_field
from palaver_server.core.generation import GenerationRequest
from palaver_server.engine.scripted.behaviour import ScriptedBehaviour
from palaver_server.engine.scripted.script import (
    Filler,
    ScriptError,
    Speech,
    Thought,
    Turn,
    Utterance,
    is_script,
    parse,
)

THOUGHT = "I repeat what I am told."
"""What is thought where a request asks for thoughts and the script has none."""


def cue(request: GenerationRequest, behaviour: ScriptedBehaviour) -> Turn:
    """Give what each choice says next.

    A script's turns come one after another, as the assistant's since the user's last message. When they are all said,
    and where there is no script, the tools' answers are repeated if the conversation ends with some, and else what the
    user said.

    Raises:
        PalaverError: the user's message begins as a script and is none.
    """
    return tuple(_with_thoughts(said, request) for said in _turn(request, behaviour))


def _turn(request: GenerationRequest, behaviour: ScriptedBehaviour) -> Turn:
    if behaviour.tokens is not None:
        return (Utterance((Filler(behaviour.tokens),)),)
    messages = request.messages
    asked = max((place for place, one in enumerate(messages) if one.role is Role.USER), default=len(messages) - 1)
    text = behaviour.answer if behaviour.answer is not None else messages[asked].text
    spoken = sum(one.role is Role.ASSISTANT for one in messages[asked + 1 :]) - request.continues_final_message
    ends_with_results = messages[-1].role is Role.TOOL
    if ends_with_results and not (behaviour.answer is not None or is_script(text)):
        return _results(request)
    try:
        turns = parse(text)
    except ScriptError as error:
        raise invalid_field(f"{request.field_prefix}messages[{asked}].content", str(error)) from None
    if ends_with_results and spoken >= len(turns):
        return _results(request)
    return turns[min(max(spoken, 0), len(turns) - 1)]


def _results(request: GenerationRequest) -> Turn:
    """What the tools answered to the latest calls."""
    texts: list[str] = []
    for message in reversed(request.messages):
        if message.role is not Role.TOOL:
            break
        texts.append(message.text)
    return (Utterance((Speech("\n".join(reversed(texts))),)),)


def _with_thoughts(said: Utterance, request: GenerationRequest) -> Utterance:
    asked = request.reasoning
    if asked.is_enabled is False:
        return replace(said, parts=tuple(part for part in said.parts if not isinstance(part, Thought)))
    wants = asked.is_enabled or asked.budget_tokens is not None
    if wants and not any(isinstance(part, Thought) for part in said.parts):
        return replace(said, parts=(Thought(THOUGHT), *said.parts))
    return said
