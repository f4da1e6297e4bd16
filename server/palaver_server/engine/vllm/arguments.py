"""vLLM's own engine arguments: parsed by vLLM's own parser, with defaults of ours where there is no GPU.

They keep vLLM's names and meaning, so vLLM's documentation holds for them. On a GPU every default is vLLM's.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from vllm.engine.arg_utils import AsyncEngineArgs, get_kwargs
from vllm.entrypoints.launchers.cli_args import BaseFrontendArgs
from vllm.platforms import current_platform
from vllm.renderers.chat_utils import ChatTemplateContentFormatOption
from vllm.utils.argparse_utils import FlexibleArgumentParser

from palaver_server.core.engine import EngineStartError
from palaver_server.engine.vllm.cpu import CPU_DEFAULTS

NOT_OURS_TO_PASS = {
    "--model": "the model is palaver's own setting of that name",
    "--served-model-name": "the served name is palaver's own setting of that name",
    "--log-level": "the level of the log is palaver's own setting of that name",
    "--logging-config": "palaver writes the log of the engine itself",
    "--log-config-file": "palaver writes the log of the engine itself",
    "--config": "arguments for vLLM stand in the table [vllm] of palaver's own configuration file",
}
"""Flags that vLLM knows and that would be overridden, or would take from palaver what it answers for."""

RENDERING_FLAGS = (
    "chat_template",
    "chat_template_content_format",
    "default_chat_template_kwargs",
    "enable_auto_tool_choice",
    "exclude_tools_when_tool_choice_none",
    "tool_call_parser",
    "tool_strict_level",
)
"""What ``vllm serve`` counts among its server's arguments and what decides how a conversation is rendered and read."""


FORM_BACKENDS = ("auto", "xgrammar")
"""vLLM's ``auto`` means xgrammar here, see ``grammar/``."""


class EngineArgumentError(EngineStartError):
    """An engine argument is wrong: wrong use rather than a failure."""


@dataclass(frozen=True, slots=True)
class VllmArguments:
    """What the flags say."""

    engine: AsyncEngineArgs
    chat_template: str | None
    """A file or the template itself; None for the model's own."""
    chat_template_content_format: ChatTemplateContentFormatOption
    default_chat_template_kwargs: dict[str, Any] | None
    enable_auto_tool_choice: bool
    """Taken as vLLM's recipes have it; a parser of tool calls alone says as much here."""
    exclude_tools_when_tool_choice_none: bool
    tool_call_parser: str | None
    tool_strict_level: str


def parse(model: str, model_id: str, flags: Sequence[str]) -> VllmArguments:
    """Read engine arguments as ``vllm serve`` reads them.

    Args:
        model: what vLLM loads: a folder or a name on the Hub.
        model_id: the name that requests use.
        flags: such as ``["--max-model-len", "4096"]``.

    Raises:
        EngineArgumentError: a flag is unknown, has a wrong value, or is palaver's to set.
    """
    for flag in flags:
        name = flag.split("=", 1)[0].replace("_", "-")
        if (reason := NOT_OURS_TO_PASS.get(name)) is not None:
            raise EngineArgumentError(f"{name} cannot be passed to vLLM: {reason}.")
    parser = _parser()
    if current_platform.is_cpu():
        parser.set_defaults(**{name: default.value for name, default in CPU_DEFAULTS.items()})
    try:
        values: Namespace = parser.parse_args(list(flags))
        values.model, values.served_model_name = model, [model_id]
        engine = AsyncEngineArgs.from_cli_args(values)
    except (ValueError, TypeError, IndexError) as error:  # IndexError: a dotted flag without its value
        raise EngineArgumentError(f"vLLM does not take these engine arguments: {_sentence(error)}") from error
    if (backend := engine.structured_outputs_config.backend) not in FORM_BACKENDS:
        raise EngineArgumentError(
            f"vLLM's structured output backend {backend!r} is not supported: palaver has every schema compiled by "
            "xgrammar before the engine sees it. Leave it out."
        )
    return VllmArguments(engine, **{name: getattr(values, name) for name in RENDERING_FLAGS})


class _Parser(FlexibleArgumentParser):
    """vLLM's parser, which would end the process at the first wrong flag."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: "):
            unknown = message.removeprefix("unrecognized arguments: ")
            raise EngineArgumentError(
                f"Neither palaver nor vLLM has the option {unknown}; see `palaver serve --help`, and vLLM's "
                "documentation of its engine arguments."
            )
        raise EngineArgumentError(f"vLLM does not take these engine arguments: {message}.")


def _parser() -> FlexibleArgumentParser:
    # Abbreviations are off: a flag that a later vLLM gives a second meaning must not change under an operator.
    parser = _Parser(prog="palaver serve", add_help=False, allow_abbrev=False)  # type: ignore[no-untyped-call]
    AsyncEngineArgs.add_cli_args(parser)
    rendering = get_kwargs(BaseFrontendArgs)
    rendering["default_chat_template_kwargs"]["type"] = json.loads  # as vLLM's own server does
    for name in RENDERING_FLAGS:
        parser.add_argument(f"--{name.replace('_', '-')}", **rendering[name])  # type: ignore[no-untyped-call]
    return parser


def _sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
