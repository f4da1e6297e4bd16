"""The form that an answer is held to: OpenAI's ``response_format`` and vLLM's ``structured_outputs`` into one."""

from __future__ import annotations

from palaver.v1 import response_format_pb2
from palaver_server.core.errors import invalid_field
from palaver_server.core.strict_json import to_json
from palaver_server.rpc.openai.body import Body, JsonSchema, ResponseFormat, StructuredOutputs


def response_format_to_proto(body: Body) -> response_format_pb2.ResponseFormat | None:
    """The contract's form; None where the answer is free text.

    Raises:
        PalaverError: both of the two ask for a form, or one says none or several.
    """
    asked, outputs = body.response_format, body.structured_outputs
    if asked is not None:
        _refuse_foreign_fields(asked)
    if asked is not None and asked.type == "text":
        asked = None
    if asked is not None and outputs is not None:
        raise invalid_field("structured_outputs", "asks for a form beside response_format; send one of the two")
    if outputs is not None:
        return _from_structured_outputs(outputs)
    return None if asked is None else _from_response_format(asked)


def _refuse_foreign_fields(asked: ResponseFormat) -> None:
    if (asked.type == "json_schema") != (asked.json_schema is not None):
        raise invalid_field("response_format.json_schema", "must stand beside the type json_schema, and only there")
    foreign = asked.model_fields_set & {"format", "structures", "triggers"}
    if foreign and asked.type != "structural_tag":
        raise invalid_field(f"response_format.{min(foreign)}", "is only for the type structural_tag")


def _from_response_format(asked: ResponseFormat) -> response_format_pb2.ResponseFormat:
    if asked.json_schema is not None:
        return response_format_pb2.ResponseFormat(json_schema=_json_schema(asked.json_schema))
    if asked.type == "json_object":
        return response_format_pb2.ResponseFormat(json_object=response_format_pb2.JsonObjectFormat())
    tag = asked.model_dump(include={"type", "format", "structures", "triggers"}, exclude_none=True)
    return response_format_pb2.ResponseFormat(structural_tag_json=to_json(tag))


def _json_schema(schema: JsonSchema) -> response_format_pb2.JsonSchemaFormat:
    return response_format_pb2.JsonSchemaFormat(
        name=schema.name, description=schema.description, json_schema=to_json(schema.json_schema)
    )


def _from_structured_outputs(outputs: StructuredOutputs) -> response_format_pb2.ResponseFormat:
    if len(outputs.model_fields_set) != 1:
        raise invalid_field(
            "structured_outputs", "must have exactly one of json, json_object, regex, choice, grammar, structural_tag"
        )
    if outputs.json_ is not None:
        schema = outputs.json_ if isinstance(outputs.json_, str) else to_json(outputs.json_)
        return response_format_pb2.ResponseFormat(json_schema=response_format_pb2.JsonSchemaFormat(json_schema=schema))
    if outputs.json_object is not None:
        if not outputs.json_object:
            raise invalid_field("structured_outputs.json_object", "must be true where it is set")
        return response_format_pb2.ResponseFormat(json_object=response_format_pb2.JsonObjectFormat())
    if outputs.choice is not None:
        return response_format_pb2.ResponseFormat(choice=response_format_pb2.ChoiceFormat(values=outputs.choice))
    if outputs.regex is not None:
        return response_format_pb2.ResponseFormat(regex=outputs.regex)
    if outputs.grammar is not None:
        return response_format_pb2.ResponseFormat(grammar=outputs.grammar)
    return response_format_pb2.ResponseFormat(structural_tag_json=outputs.structural_tag or "")
