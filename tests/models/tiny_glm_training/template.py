"""The chat format: its tokens, and the template that renders messages into it."""

from pathlib import Path
from typing import Any, Final

from transformers.utils.chat_template_utils import render_jinja_template

SPECIAL: Final = tuple(
    """<|endoftext|> [MASK] [gMASK] [sMASK] <sop> <eop> <|system|> <|user|> <|assistant|> <|observation|>
    <|begin_of_image|> <|end_of_image|> <|begin_of_video|> <|end_of_video|> <|begin_of_audio|> <|end_of_audio|>
    <|begin_of_transcription|> <|end_of_transcription|>""".split()
)
"""GLM-4.5's special tokens, in its order: left out of decoded text."""

ADDED: Final = tuple(
    """<|code_prefix|> <|code_middle|> <|code_suffix|> <think> </think> <tool_call> </tool_call> <tool_response>
    </tool_response> <arg_key> </arg_key> <arg_value> </arg_value> /nothink <|begin_of_box|> <|end_of_box|> <|image|>
    <|video|>""".split()
)
"""GLM-4.5's other added tokens, in its order: one token each, and part of decoded text."""

END: Final = "<|endoftext|>"
USER: Final = "<|user|>"
OBSERVATION: Final = "<|observation|>"
STOPS: Final = (END, USER, OBSERVATION)
"""The tokens that end an answer: GLM writes the opening of whatever has to come next."""

TEMPLATE: Final = Path(__file__).with_name("chat_template.jinja").read_text(encoding="utf-8")


def render(
    messages: list[dict[str, Any]],
    *,
    tools: list[dict[str, Any]] | None = None,
    add_generation_prompt: bool = True,
    enable_thinking: bool | None = None,
) -> str:
    """The messages as the model reads them. Without `enable_thinking` the template is not told, and thinking is on."""
    options = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
    texts, _ = render_jinja_template(
        [messages],
        tools=tools,
        chat_template=TEMPLATE,
        add_generation_prompt=add_generation_prompt,
        **options,
    )
    return str(texts[0])
