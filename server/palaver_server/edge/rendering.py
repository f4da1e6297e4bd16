"""Writes Envoy's configuration into a folder: the filled template and the files that it names."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from palaver_server.edge.configuration import EdgeConfiguration
from palaver_server.edge.local_replies import local_replies

CONFIGURATION = "envoy.yaml"
DESCRIPTORS = "palaver.binpb"
CERTIFICATE = "certificate.yaml"
CLIENT_CA = "client-ca.yaml"
ACCESS_LOG = "access-log.yaml"

ALLOWED_HEADERS = (
    *("authorization", "x-api-key", "content-type", "accept", "x-request-id", "traceparent", "tracestate"),
    *("x-grpc-web", "x-user-agent", "grpc-timeout"),
    *("openai-organization", "openai-project", "x-client-request-id"),
    *(f"x-stainless-{name}" for name in ("arch", "async", "helper-method", "lang", "os", "package-version")),
    *(f"x-stainless-{name}" for name in ("poll-helper", "retry-count", "runtime", "runtime-version", "timeout")),
)
"""What clients of REST, gRPC-Web and OpenAI send from a browser."""
EXPOSED_HEADERS = (
    *("x-request-id", "retry-after", "retry-after-ms", "grpc-status", "grpc-message", "grpc-status-details-bin"),
    *("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
)
"""What a browser shows them of an answer."""


def render(configuration: EdgeConfiguration, descriptor_set: bytes, folder: Path) -> Path:
    """Write everything that Envoy reads but the certificates, and return the path of the main file.

    Args:
        configuration: what to say; its ``folder`` is where the files are when Envoy reads them, which differs from
            ``folder`` when they are rendered for a container.
        descriptor_set: a serialized ``FileDescriptorSet`` of the API with all that it imports.
        folder: where to write; made when it is not there. Files of the same names are replaced whole.
    """
    environment = Environment(
        loader=PackageLoader("palaver_server.edge", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # it is YAML: every value goes through `tojson`, which YAML reads as it is
    )
    environment.filters["seconds"] = lambda value: f"{value:.9g}s"
    values = {
        "edge": configuration,
        "folder": str(configuration.folder),
        "names": _Names,
        "rpcs": [f"/{service}/{name}" for service, names in configuration.routes.methods.items() for name in names],
        "lua": (Path(__file__).parent / "answers.lua").read_text(encoding="utf-8"),
        "allowed_headers": ALLOWED_HEADERS,
        "exposed_headers": EXPOSED_HEADERS,
        "replies": local_replies(
            max_request_bytes=configuration.max_request_bytes,
            max_header_kib=configuration.max_header_kib,
            stream_idle_seconds=configuration.stream_idle_seconds,
            are_limits_shared=configuration.rate_limit_service is not None,
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / DESCRIPTORS, descriptor_set)
    for name, is_needed in (
        (CERTIFICATE, True),
        (CLIENT_CA, configuration.certificates.client_ca is not None),
        (ACCESS_LOG, configuration.access_log != "off"),
        (CONFIGURATION, True),
    ):
        if is_needed:
            _write(folder / name, environment.get_template(f"{name}.j2").render(values).encode())
        else:
            (folder / name).unlink(missing_ok=True)
    return folder / CONFIGURATION


class _Names:
    """File names that the templates speak of."""

    descriptors = DESCRIPTORS
    certificate = CERTIFICATE
    client_ca = CLIENT_CA
    access_log = ACCESS_LOG


def _write(path: Path, content: bytes) -> None:
    """Replace a file in one step, and only if it differs: Envoy may be reading it."""
    if path.is_file() and path.read_bytes() == content:
        return
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)  # nothing in it is secret, and Envoy may run as another user
        Path(temporary).rename(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
