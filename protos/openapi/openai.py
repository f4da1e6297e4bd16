"""OpenAI's paths, whose bodies the protos pass through as bytes. What a request may have is what the server reads."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from palaver_server.rpc.openai.body import Body

Schema = dict[str, Any]

_COMPLETIONS = "https://platform.openai.com/docs/api-reference/chat"


def request_body() -> dict[str, Any]:
    """The body of the one method that has one."""
    example = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Say hello."}]}
    schema = {"$ref": "#/components/schemas/OpenAIBody"}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def components() -> dict[str, Schema]:
    """What requests consist of, as the server itself reads them, and the error."""
    whole = Body.model_json_schema(ref_template="#/components/schemas/OpenAI{model}")
    parts = whole.pop("$defs")
    whole["description"] = f"As OpenAI's API has it, {_COMPLETIONS}/create, with vLLM's additions."
    return {f"OpenAI{name}": _tidied(schema) for name, schema in {**parts, "Body": whole}.items()} | {
        "OpenAIError": ERROR
    }


def _tidied(schema: Schema) -> Schema:
    """Without the titles that pydantic makes of names; null, which leaves a field unset, wherever it is taken."""
    schema.pop("title", None)
    if "description" in schema:
        schema["description"] = schema["description"].replace("``", "`")
    for name, kind in schema["properties"].items():
        kind.pop("title", None)
        if kind.get("default", ...) is None:
            del kind["default"]
        elif name not in schema.get("required", ()) and isinstance(kind.get("type"), str):
            kind["type"] = [kind["type"], "null"]
    return schema


def responses(method: MethodDescriptor) -> dict[str, Any]:
    """The answers of a method. Every error has OpenAI's shape."""
    headers = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
    return {
        "200": {"description": "The answer.", "headers": headers, "content": _CONTENT[method.name]},
        "default": {"$ref": "#/components/responses/OpenAIError"},
    }


_MODEL: Schema = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
_USAGE: Schema = {
    "type": "object",
    "properties": {
        "prompt_tokens": {"type": "integer"},
        "completion_tokens": {"type": "integer"},
        "total_tokens": {"type": "integer"},
    },
}
_COMPLETION: Schema = {
    "type": "object",
    "description": f"As OpenAI's API has it: {_COMPLETIONS}/object",
    "required": ["id", "object", "created", "model", "choices"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "chat.completion"},
        "created": {"type": "integer", "description": "Seconds since 1970."},
        "model": {"type": "string"},
        "choices": {"type": "array", "items": {"type": "object", "required": ["index", "message", "finish_reason"]}},
        "usage": _USAGE,
    },
}
_EVENT: Schema = {
    "type": "object",
    "description": "A server-sent event, whose data is a chunk in JSON; that of the last is `[DONE]`. An error after "
    f"the first event is an event with `error`. As OpenAI's API has it: {_COMPLETIONS}/streaming",
    "required": ["data"],
    "properties": {"data": {"type": "string"}},
}
_CONTENT: dict[str, Schema] = {
    "CreateChatCompletion": {
        "application/json": {"schema": _COMPLETION},
        "text/event-stream": {"schema": _EVENT},
    },
    "ListOpenAIModels": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["object", "data"],
                "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}},
            }
        }
    },
    "GetOpenAIModel": {"application/json": {"schema": _MODEL}},
}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "What is wrong, for people."},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The field to blame."},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
