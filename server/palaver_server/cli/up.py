"""``palaver up``: the server and its Envoy sidecar in the foreground."""

from __future__ import annotations

import sys
from typing import Any

import click

from palaver_server.cli.options import MAIN_OF_UP, SettingsCommand, settings_of
from palaver_server.cli.serve import serve_settings


@click.command(
    cls=SettingsCommand,
    main=MAIN_OF_UP,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    epilog="Takes every option of `palaver serve`, vLLM's own flags too. The gRPC port of --listen stays open beside "
    "the edge.\n\n"
    "\b\n"
    "Example:\n"
    "  palaver up --edge-listen 0.0.0.0:8443 --edge-cert tls.crt --edge-key tls.key",
)
@click.pass_context
def up(context: click.Context, /, **parameters: Any) -> None:
    """Serve a model over gRPC, gRPC-Web, REST and OpenAI's protocol on one TLS port, by an Envoy sidecar.

    Without --edge-cert it makes a certificate for development; `palaver edge ca` tells what clients need then. A second
    signal ends at once.
    """
    sys.exit(serve_settings(context, settings_of(parameters), has_edge=True))
