"""Puts the OpenAPI document together, as https://spec.openapis.org/oas/v3.1.1 has it."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.rpc import error_details_pb2, status_pb2

from palaver.v1 import chat_service_pb2, model_service_pb2, openai_service_pb2, web_service_pb2
from protos.openapi import openai
from protos.openapi.comments import Comments
from protos.openapi.operations import body_message, operation, path_of
from protos.openapi.schemas import Schema, Schemas

SERVICES: tuple[ServiceDescriptor, ...] = (
    chat_service_pb2.DESCRIPTOR.services_by_name["ChatService"],
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
    openai_service_pb2.DESCRIPTOR.services_by_name["OpenAIService"],
    web_service_pb2.DESCRIPTOR.services_by_name["WebService"],
)
_DETAILS = [
    error_details_pb2.ErrorInfo.DESCRIPTOR,
    error_details_pb2.BadRequest.DESCRIPTOR,
    error_details_pb2.RetryInfo.DESCRIPTOR,
    error_details_pb2.QuotaFailure.DESCRIPTOR,
]
_DESCRIPTION = """\
palaver serves a chat model. This is all of it that is reached over HTTP; the same services answer gRPC and gRPC-Web at
the same address, and the protobuf files are the contract for both.

- **JSON** is that of protobuf with fields in snake_case. Names in lowerCamelCase are taken too, and null leaves a field
  unset. What this document does not have is refused with its path, never dropped. In answers, fields with their default
  value (0, false, empty) are left out.
- **Errors** are a `google.rpc.Status`: `details` has an `ErrorInfo` with the reason and the request id, a `BadRequest`
  with the fields that are to blame, and a `RetryInfo` where waiting helps, which the header `retry-after` tells too.
  Paths of fields begin at the RPC's own request: the body of `chat:stream` is its field `chat`.
- **Deadlines**: the header `grpc-timeout` (`30S`, `500m` for milliseconds) says how long the caller waits.
- **Keys** go into `X-API-Key`, or into `Authorization` as a bearer token. A server on loopback that has no keys asks
  for none.
"""
_ERRORS = {
    "Error": "An error, told by its status.",
    "Invalid": "The request is malformed, or a field has a value that it cannot have, or is not supported.",
    "Unauthenticated": "The key is missing, unknown, expired or revoked.",
    "Denied": "The key may not do this.",
    "NotFound": "There is no such model, or no such path.",
    "TooLarge": "The body is larger than the server takes.",
    "NotJson": "The body is not declared as `application/json`.",
    "Limited": "The key's limit is reached, or the server is full: wait as `retry-after` says.",
    "Internal": "The server failed; its log tells more under the request id.",
    "Unavailable": "The model still loads, or the server stops: wait as `retry-after` says.",
    "TooLate": "The caller's deadline has passed, or leaves too little time.",
}


def document(comments: Comments) -> dict[str, Any]:
    """The whole document, ready to be written as JSON."""
    methods = [method for service in SERVICES for method in service.methods]
    schemas = Schemas(comments, [body for method in methods if (body := body_message(method)) is not None])
    paths: dict[str, Any] = {}
    for method in methods:
        verb, path = path_of(method)
        paths.setdefault(path, {})[verb] = operation(method, schemas, comments)
    _add_errors(schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "palaver",
            "version": "v1",
            "summary": "A chat model over HTTP, with the contract of its gRPC services.",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The server that this document comes from."}],
        "security": [{"ApiKey": []}, {"Bearer": []}],
        "tags": [{"name": service.name, "description": comments[service.full_name]} for service in SERVICES],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {
                **{name: _error(text, "Status", name) for name, text in _ERRORS.items()},
                "OpenAIError": _error("An error, told by its status.", "OpenAIError", "Limited"),
            },
            "headers": {
                "RequestId": {
                    # A request whose headers could not be read has none.
                    "description": "The id of the request in the server's logs: the caller's own, or a new one.",
                    "schema": {"type": "string"},
                },
                "RetryAfter": {
                    "description": "Seconds after which another try may succeed.",
                    "schema": {"type": "integer", "minimum": 0},
                },
            },
            "securitySchemes": {
                "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "Bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _add_errors(schemas: Schemas) -> None:
    schemas.reference(status_pb2.Status.DESCRIPTOR)
    kinds = []
    for descriptor in _DETAILS:
        kinds.append(schemas.reference(descriptor))
        detail = schemas.components[descriptor.name]
        detail["properties"] = {"@type": {"const": f"type.googleapis.com/{descriptor.full_name}"}} | detail[
            "properties"
        ]
        detail["required"] = ["@type", *detail.get("required", [])]
    # The kinds are known by their type; others may be added to the contract.
    details = schemas.components["Status"]["properties"]["details"]
    details["items"] = {"anyOf": [*kinds, details["items"]]}
    schemas.components |= openai.components()


def _error(description: str, schema: str, name: str) -> Schema:
    headers = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
    if name in ("Limited", "Unavailable"):
        headers["retry-after"] = {"$ref": "#/components/headers/RetryAfter"}
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "headers": headers, "content": content}
