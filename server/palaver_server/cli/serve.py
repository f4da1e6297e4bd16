"""``palaver serve``: the server in the foreground."""

from __future__ import annotations

import sys
from typing import Any

import click

from palaver_server.cli.options import given, settings_options
from palaver_server.settings import GROUPS, SettingsError, load_settings

EXIT_WRONG_USE = 2


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="Every setting is also an environment variable (PALAVER_MAX_CONCURRENT_REQUESTS) and a key of the TOML file "
    "named by PALAVER_CONFIG. Any other flag goes to vLLM under vLLM's own name, as --max-model-len 4096 does.  "
    "Example:  palaver serve --model smollm2-135m-instruct --listen 127.0.0.1:50051",
)
@settings_options(GROUPS)
@click.pass_context
def serve(context: click.Context, /, **parameters: Any) -> None:
    """Serve a model over gRPC until SIGTERM or Ctrl-C.

    The port answers health, reflection and GetModel from the first second; chats are answered once the model is
    loaded. A second signal ends at once.
    """
    try:
        settings = load_settings(**given(parameters))
        if settings.engine == "scripted" and context.args:
            raise SettingsError(f"No such option: {context.args[0]}. (Flags of vLLM need --engine vllm.)")
    except SettingsError as error:
        click.echo(f"palaver: {error}", err=True)
        sys.exit(EXIT_WRONG_USE)
    from palaver_server.app import run  # noqa: PLC0415  # help must not import a server
    from palaver_server.cli.start_view import start_view  # noqa: PLC0415

    sys.exit(run(settings, tuple(context.args), start_view()))
