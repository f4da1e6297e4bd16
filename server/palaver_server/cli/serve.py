"""``palaver serve``: the server in the foreground."""

from __future__ import annotations

import sys
from typing import Any

import click

from palaver_server.cli.options import SettingsCommand, settings_of
from palaver_server.quick_exit import QuickExit
from palaver_server.settings import Settings


@click.command(
    cls=SettingsCommand,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="Each option is an environment variable (PALAVER_LOG_FORMAT) and a key of the TOML file (log_format) too. "
    "Any other flag goes to vLLM; `vllm serve --help=all` lists those.\n\n"
    "\b\n"
    "Example:\n"
    "  palaver serve --model smollm2-135m-instruct --max-model-len 4096",
)
@click.pass_context
def serve(context: click.Context, /, **parameters: Any) -> None:
    """Serve a model over gRPC alone, until SIGTERM or Ctrl-C.

    The port answers health, reflection and GetModel from the first second, and chats once the model is loaded. A second
    signal ends at once.
    """
    sys.exit(serve_settings(context, settings_of(parameters), has_edge=False))


def serve_settings(context: click.Context, settings: Settings, *, has_edge: bool) -> int:
    """Run a server, with or without the edge, and return its exit code."""
    if settings.engine == "scripted" and context.args:
        raise click.exceptions.NoSuchOption(
            context.args[0],
            possibilities=[name for parameter in context.command.params for name in parameter.opts],
            ctx=context,
        )
    quick_exit = QuickExit()
    from palaver_server.cli.start_view import start_view  # noqa: PLC0415  # help must not import a server

    view = start_view(settings)
    try:
        from palaver_server.app import run  # noqa: PLC0415  # takes a second, which the view shows

        return quick_exit.with_status(run(settings, tuple(context.args), view, has_edge=has_edge))
    finally:
        view.close()
