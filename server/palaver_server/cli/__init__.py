"""The command ``palaver``: one module a group of commands, each loaded only when it is called."""

from __future__ import annotations

import importlib

import click

from palaver_server import __version__

COMMANDS = {
    "serve": "Serve a model over gRPC.",
    "chat": "Ask a running server and see the answer as it is written.",
    "models": "List, fetch, verify and describe models.",
}
"""Name and first line of each command, here so that ``palaver --help`` imports none of them."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is used: a probe must not pay for what it does not use."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """All commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command itself, from the module of its name."""
        if name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"palaver_server.cli.{name}"), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{name} is no command")
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with:  palaver serve   and, in a second terminal:  palaver chat 'What is the capital of France?'",
)
@click.version_option(__version__, prog_name="palaver")
def main() -> None:
    """Serve a chat model over gRPC, straight out of a vLLM engine."""
