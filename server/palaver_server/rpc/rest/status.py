"""An error as REST shows it: ``google.rpc.Status`` in JSON, as Envoy's transcoder prints it."""

from __future__ import annotations

from google.protobuf import json_format

from palaver_server.core.errors import PalaverError
from palaver_server.rpc.errors import status_from_error


def status_json(error: PalaverError, request_id: str) -> bytes:
    """The body of an answer that Envoy gives in our place; the HTTP status is that of ``rpc.errors.TABLE``."""
    status = status_from_error(error, request_id)
    return json_format.MessageToJson(status, preserving_proto_field_name=True, indent=None).encode()
