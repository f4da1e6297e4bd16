"""Paths and operations, from the `google.api.http` options of the methods."""

from __future__ import annotations

import re
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from protos.openapi import openai
from protos.openapi.comments import Comments
from protos.openapi.examples import EXAMPLES
from protos.openapi.schemas import Schema, Schemas, is_required

_VARIABLE = re.compile(r"\{(\w+)=((?:[\w-]+/)*)\*\*\}$")
PUBLIC_SERVICES = {"palaver.v1.WebService"}
"""These ask for no key."""
_PAGES = {
    "palaver.v1.WebService.GetOpenAPIDocument": {"application/json": {"schema": {"type": "object"}}},
    "palaver.v1.WebService.GetDocumentation": {"text/html": {"schema": {"type": "string"}}},
}
_FIRST_SENTENCE = re.compile(r"^.*?\.(?=\s|$)", re.DOTALL)


def path_of(method: MethodDescriptor) -> tuple[str, str]:
    """The HTTP method in small letters, and the path as OpenAPI writes it."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb: str = rule.WhichOneof("pattern")
    template: str = getattr(rule, verb)
    variable = _VARIABLE.search(template)
    if variable is None:
        return verb, template
    return verb, f"{template[: variable.start()]}{variable[2]}{{model}}"


def body_message(method: MethodDescriptor) -> Descriptor | None:
    """The message of the contract that callers send as the body; None where they send none, or no such."""
    body = method.GetOptions().Extensions[annotations_pb2.http].body
    if not body or method.input_type.full_name == "google.api.HttpBody":
        return None
    return method.input_type if body == "*" else method.input_type.fields_by_name[body].message_type


def operation(method: MethodDescriptor, schemas: Schemas, comments: Comments) -> dict[str, Any]:
    """One method as it is called over HTTP."""
    description = comments[method.full_name]
    sentence = _FIRST_SENTENCE.match(description)
    service = method.containing_service
    made: dict[str, Any] = {
        "operationId": method.name,
        "tags": [service.name],
        "summary": (sentence[0] if sentence else method.name).removesuffix("."),
        "description": description,
    }
    if parameters := _parameters(method, schemas, comments):
        made["parameters"] = parameters
    if body := _request_body(method, schemas):
        made["requestBody"] = body
    made["responses"] = _responses(method, schemas)
    if service.full_name in PUBLIC_SERVICES:
        made["security"] = []
    return made


def _parameters(method: MethodDescriptor, schemas: Schemas, comments: Comments) -> list[dict[str, Any]]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    if rule.body == "*":
        return []
    variable = _VARIABLE.search(getattr(rule, rule.WhichOneof("pattern")))
    found = [_model_parameter(method, variable[1], variable[2])] if variable else []
    in_path = variable[1] if variable else ""
    in_query = [field for field in method.input_type.fields if field.name not in (rule.body, in_path)]
    return [*found, *(_query_parameter(field, schemas, comments) for field in in_query)]


def _model_parameter(method: MethodDescriptor, field_name: str, prefix: str) -> dict[str, Any]:
    from_rules = Schemas(Comments([]), []).field(method.input_type.fields_by_name[field_name])
    return {
        "name": "model",
        "in": "path",
        "required": True,
        "description": "The `Model.id` of the model. Its slashes may stand as they are, or as `%2F`.",
        "schema": {"type": "string", "minLength": 1, "maxLength": from_rules["maxLength"] - len(prefix)},
    }


def _query_parameter(field: FieldDescriptor, schemas: Schemas, comments: Comments) -> dict[str, Any]:
    schema = schemas.field(field)
    schema.pop("description", None)
    schema.pop("default", None)  # unset is not always the same as zero; the description tells
    return {
        "name": field.name,
        "in": "query",
        "required": is_required(field),
        "description": comments[field.full_name],
        "schema": schema,
    }


def _request_body(method: MethodDescriptor, schemas: Schemas) -> dict[str, Any] | None:
    if method.input_type.full_name == "google.api.HttpBody":
        return openai.request_body()
    message = body_message(method)
    if message is None:
        return None
    content: dict[str, Any] = {"schema": schemas.reference(message)}
    if message.full_name in EXAMPLES:
        content["example"] = EXAMPLES[message.full_name]
    return {"required": True, "content": {"application/json": content}}


def _responses(method: MethodDescriptor, schemas: Schemas) -> dict[str, Any]:
    service = method.containing_service
    if service.name == "OpenAIService":
        return openai.responses(method)
    good = {"description": "The answer.", "headers": _HEADERS, "content": _content(method, schemas)}
    refusals = {"default": {"$ref": "#/components/responses/Error"}}
    if service.full_name not in PUBLIC_SERVICES:
        refusals = {**_refusals(method), **refusals}
    if method.full_name == "palaver.v1.WebService.GetHealth":
        unwell = {"description": "Chats are not answered.", "headers": _HEADERS, "content": _content(method, schemas)}
        return {"200": good, "503": unwell, **refusals}
    return {"200": good, **refusals}


_HEADERS = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}


def _content(method: MethodDescriptor, schemas: Schemas) -> dict[str, Any]:
    if method.full_name in _PAGES:
        return _PAGES[method.full_name]
    answer = schemas.reference(method.output_type)
    if not method.server_streaming:
        return {"application/json": {"schema": answer}}
    # The schema is that of one event, as OpenAPI 3.2 has it (`itemSchema`).
    event: Schema = {
        "type": "object",
        "description": f"A server-sent event, whose data is a `{method.output_type.name}` in JSON. An error before the "
        "first event is an answer of its own status; an error after it is the last event, `error`.",
        "required": ["data"],
        "properties": {"data": {"type": "string", "contentMediaType": "application/json", "contentSchema": answer}},
    }
    return {"text/event-stream": {"schema": event, "example": EXAMPLES[method.output_type.full_name]}}


def _refusals(method: MethodDescriptor) -> dict[str, Any]:
    statuses = {"400": "Invalid", "401": "Unauthenticated", "403": "Denied", "404": "NotFound"}
    if method.GetOptions().Extensions[annotations_pb2.http].body:
        statuses |= {"413": "TooLarge", "415": "NotJson"}
    statuses |= {"429": "Limited", "500": "Internal", "503": "Unavailable", "504": "TooLate"}
    return {status: {"$ref": f"#/components/responses/{name}"} for status, name in statuses.items()}
