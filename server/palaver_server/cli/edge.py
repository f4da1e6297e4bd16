"""The commands `palaver edge ...`: what the Envoy sidecar needs beside a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from palaver_server.cli.errors import EXIT_FAILURE
from palaver_server.cli.options import MAIN_OF_UP, SettingsCommand, settings_of

_EDGE_SETTINGS = tuple(name for name in MAIN_OF_UP if name.startswith("edge_"))


@click.group(epilog="\b\nExample:\n  palaver edge ca\n  palaver edge render ./envoy --run-dir /run/palaver")
def edge() -> None:
    """Render the Envoy sidecar's configuration; find its certificate."""


@edge.command(
    cls=SettingsCommand,
    main=("state_dir",),
    epilog='\b\nExample:\n  curl --cacert "$(palaver edge ca)" https://localhost:8443/palaver/v1/models',
)
def ca(**parameters: Any) -> None:
    """Print the path of the CA certificate that clients of `palaver up` need.

    Makes the certificate for development when there is none yet. With a certificate of your own (--edge-cert), clients
    need whatever signed that one.
    """
    settings = settings_of(parameters)
    from palaver_server.app.edge_settings import development_certificate, parse_address  # noqa: PLC0415
    from palaver_server.edge.binary import EdgeError  # noqa: PLC0415  # help needs none of it

    if settings.edge_cert is not None:
        raise click.ClickException(f"The edge shows {settings.edge_cert}: its clients need the CA that signed that.")
    certificate = development_certificate(settings)
    try:
        certificate.ensure([parse_address(settings.edge_listen, "edge_listen").host])
    except EdgeError as error:
        raise click.ClickException(str(error)) from error
    if not certificate.ca.exists():
        click.echo(f"Error: {certificate.chain} was not made by palaver, and no ca.crt is beside it.", err=True)
        raise click.exceptions.Exit(EXIT_FAILURE)
    click.echo(certificate.ca)


@edge.command(
    cls=SettingsCommand,
    main=_EDGE_SETTINGS,
    epilog="deploy/README.md tells how the two containers fit together.\n\n"
    "\b\n"
    "Example:\n"
    "  palaver edge render ./envoy --mounted-at /etc/palaver/edge --run-dir /run/palaver \\\n"
    "    --edge-listen 0.0.0.0:8443 --edge-cert /etc/palaver/tls/tls.crt --edge-key /etc/palaver/tls/tls.key",
)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--mounted-at", metavar="PATH", type=click.Path(path_type=Path), help="Where Envoy sees DIR.  [default: DIR]"
)
@click.option(
    "--run-dir",
    metavar="PATH",
    type=click.Path(path_type=Path),
    default=Path("/run/palaver"),
    show_default=True,
    help="Where Envoy sees the folder of the server's sockets.",
)
def render(folder: Path, mounted_at: Path | None, run_dir: Path, **parameters: Any) -> None:
    """Write the configuration of `palaver up` for an Envoy of its own, such as a second container.

    Server and Envoy share the folder of the sockets. Run Envoy with `envoy -c DIR/envoy.yaml --disable-hot-restart`.
    """
    settings = settings_of(parameters)
    from palaver_server.app.edge_settings import EdgePlaces, edge_configuration  # noqa: PLC0415  # not for the help
    from palaver_server.edge import rendering  # noqa: PLC0415
    from palaver_server.rpc.descriptor_set import descriptor_set  # noqa: PLC0415
    from palaver_server.settings import SettingsError  # noqa: PLC0415

    log = "stdout" if settings.edge_access_log == "auto" else settings.edge_access_log
    places = EdgePlaces(
        configuration=(mounted_at or folder).absolute(),
        run=run_dir.absolute(),
        certificates=Path("/etc/palaver/tls"),
        watched=None,
        access_log=log,
    )
    try:
        configuration = edge_configuration(settings, places)
        click.echo(rendering.render(configuration, descriptor_set(), folder))
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror}") from error
