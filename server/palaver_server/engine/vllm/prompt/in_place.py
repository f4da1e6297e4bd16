"""Short conversations are rendered where they are asked for, long ones in vLLM's thread.

vLLM hands each conversation to a thread, twice: for the template and for the tokenizer. While the event loop is busy,
that thread waits for the interpreter's lock, up to ``sys.getswitchinterval`` each time (5 ms), and the conversations
stand in line for it. A short one takes a fraction of a millisecond itself, of which tasks and futures around the two
steps would be a third.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from palaver_server.core.generation import GenerationRequest

if TYPE_CHECKING:  # vLLM takes seconds to import
    from vllm.renderers import BaseRenderer

MAX_CHARACTERS = 2000
"""Some 500 tokens, which a tokenizer makes in less than a millisecond: no stream sees the event loop stand so long."""


def is_short(request: GenerationRequest) -> bool:
    """Tell whether a conversation may be rendered on the event loop.

    One with arguments for the template may not, nor one with a form: what a template makes of them is not known here.
    """
    if request.chat_template_arguments or request.response_format is not None:
        return False
    room = MAX_CHARACTERS
    for message in request.messages:
        room -= len(message.reasoning) + sum(len(part.text) for part in message.content)
        room -= sum(len(call.name) + len(call.arguments_json) for call in message.tool_calls)
    for tool in request.tools:
        room -= len(tool.name) + len(tool.description) + len(tool.parameters_json_schema)
    return room >= 0


class _InPlace:
    """A renderer that hands nothing to its thread."""

    def __init__(self, renderer: BaseRenderer[Any]) -> None:
        self._renderer = renderer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._renderer, name)

    async def render_chat_async(self, *args: Any, **named: Any) -> Any:
        """What vLLM calls; the renderer has the same steps without threads, for text alone in all that they do."""
        return self._renderer.render_chat(*args, **named)


def in_place(renderer: BaseRenderer[Any]) -> BaseRenderer[Any]:
    """The same renderer, for conversations that may be rendered on the event loop."""
    return cast("BaseRenderer[Any]", _InPlace(renderer))
