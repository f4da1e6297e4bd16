"""The command ``palaver``: one module a group of commands, each loaded only when it is called."""

from __future__ import annotations

import importlib

import click
from click.shell_completion import CompletionItem

from palaver_server import __version__

SECTIONS = {
    "Serve": {
        "up": "Serve a model over gRPC, REST and OpenAI's protocol, with TLS.",
        "serve": "Serve a model over gRPC alone.",
        "edge": "Render the Envoy sidecar's configuration; find its certificate.",
        "keys": "Make, list, revoke and rotate API keys.",
        "models": "List, fetch, verify and describe models.",
        "audit": "Verify the audit log, or look something up in it.",
        "log-level": "Look at the log level of a running server, or change it.",
        "settings": "Show every setting, its value and where that comes from.",
        "doctor": "Look at this machine and say what would go wrong.",
        "tune": "Try settings on this machine, and write those that answer fastest.",
    },
    "Ask a running server": {
        "chat": "Ask one question, or hold a conversation.",
        "count": "Count the tokens of a prompt.",
        "explain": "Show the prompt that the model would be given, and how it would answer.",
        "health": "Tell whether the server answers, for scripts and probes.",
        "top": "Watch a server: load, tokens, latency, failures, clients, engine.",
    },
    "Shell": {
        "completion": "Print a script that completes commands by the Tab key.",
    },
}
"""Name and first line of each command, here so that ``palaver --help`` imports none of them."""

COMMANDS = {name: text for section in SECTIONS.values() for name, text in section.items()}

EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """Imports a command's module when the command is used: a probe must not pay for what it does not use."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """All commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """The command itself, from the module of its name."""
        if name not in COMMANDS:
            return None
        attribute = name.replace("-", "_")
        command = getattr(importlib.import_module(f"palaver_server.cli.{attribute}"), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{name} is no command")
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, but an unknown command is compared with the table, as click knows none of the names."""
        try:
            return super().resolve_command(context, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=context) from None

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """The tables of commands, without importing any."""
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                # Padded, so that the second column stands at the same place in every section.
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Complete a command's name, without importing any."""
        names = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, context, incomplete)]

    def invoke(self, context: click.Context) -> object:
        """Run the command; Ctrl-C ends any of them with the exit code that shells expect, and no word."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            click.echo(err=True)  # below the ^C of the terminal
            raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nStart with:               palaver up\n"
    "and in a second terminal: palaver chat 'What is the capital of France?'",
)
@click.version_option(__version__, prog_name="palaver")
def main() -> None:
    """Serve a chat model over gRPC, straight out of a vLLM engine."""
