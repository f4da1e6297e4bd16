"""The OpenAPI document: well made, whole, and saying what the contract says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import protovalidate
import pytest
import schemathesis
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings

from palaver.v1 import chat_service_pb2
from palaver_server.rpc.descriptor_set import http_rules
from palaver_server.rpc.rest import check_request

FOLDER = Path(__file__).resolve().parents[2] / "gen/python/palaver/v1"
DOCUMENT: dict[str, Any] = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]


def walk(value: Any) -> Iterator[Any]:
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(item)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, found in DOCUMENT["paths"].items():
        yield from ((path, verb, operation) for verb, operation in found.items())


def test_it_is_openapi_3_1_as_its_own_schema_has_it():
    assert DOCUMENT["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(DOCUMENT).validate()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_is_json_schema_2020_12(name):
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


def test_every_reference_leads_somewhere():
    found = 0
    for value in walk(DOCUMENT):
        if isinstance(value, dict) and "$ref" in value:
            found += 1
            target = DOCUMENT
            for part in value["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            assert target
    assert found > 100


def test_every_method_that_the_edge_routes_is_in_it():
    routed = {(rule.pattern.split("{")[0], rule.method.lower()) for rule in http_rules()}
    described = {(path.split("{")[0].replace("/models/", "/"), verb) for path, verb, _ in operations()}
    assert len(routed) == len(list(operations())) == 12
    assert {(path.replace("/models/", "/"), verb) for path, verb in routed} == described


def test_every_operation_and_field_is_explained():
    for path, verb, operation in operations():
        assert operation["description"].endswith("."), (path, verb)
        for parameter in operation.get("parameters", ()):
            assert parameter["description"].endswith("."), (path, parameter["name"])
    ours = {name: schema for name, schema in SCHEMAS.items() if not name.startswith("OpenAI")}
    for name, schema in ours.items():
        for field, its_schema in schema.get("properties", {}).items():
            assert field == "@type" or its_schema["description"], (name, field)


def test_only_what_a_browser_or_a_probe_asks_for_is_without_a_key():
    open_to_all = {path for path, _, operation in operations() if operation.get("security") == []}
    assert open_to_all == {"/health", "/openapi.json", "/docs"}


def schema_of(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}


def test_a_bound_of_the_contract_is_a_bound_of_the_document():
    validator = jsonschema.Draft202012Validator(schema_of("ChatRequest"))
    message = {"role": "ROLE_USER", "content": [{"text": "hi"}]}

    def is_valid(**fields: Any) -> bool:
        return bool(validator.is_valid({"messages": [message], **fields}))

    assert is_valid(options={"temperature": 2, "top_p": 0, "seed": None}, labels={"a": "b"}, tools=[{"name": "f"}])
    for bad in (
        {"messages": []},
        {"messages": [{"content": []}]},
        {"messages": [{**message, "role": "ROLE_UNSPECIFIED"}]},
        {"messages": [{**message, "content": [{}]}]},
        {"options": {"temperature": 2.01}},
        {"options": {"temperature": -0.01}},
        {"options": {"repetition_penalty": 0}},
        {"options": {"max_output_tokens": 0}},
        {"options": {"stop_sequences": [""]}},
        {"options": {"logit_bias": {"x": 1}}},
        {"options": {"time_limit": "5"}},
        {"options": {"unknown": 1}},
        {"labels": {"": "b"}},
        {"tools": [{"name": "no blanks"}]},
        {"tool_choice": {"mode": "TOOL_CHOICE_MODE_AUTO", "tool_name": "f"}},
        {"response_format": {}},
        {"priority": 101},
    ):
        assert not is_valid(**bad), bad


RULES_OF_SEVERAL_FIELDS = {
    "messages.last-role", "continue_final_message.assistant-only", "tool_choice.unknown-tool", "tool_choice.no-tools",
    "tool-names-unique", "content.needed", "tool_calls.assistant-only", "reasoning.assistant-only",
    "tool_call_id.needed", "tool_call_id.tool-only", "min_output_tokens.above-max",
    "logprob_token_ids.with-top-logprobs", "min_pattern_tokens.above-max", "effort.reasoning-off",
    "budget_tokens.reasoning-off", "duration.lte", "duration.gt_lte",
}  # fmt: skip
"""What JSON Schema cannot say: it knows neither two fields at once nor the length of a duration."""


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemathesis.openapi.from_dict(DOCUMENT)["/palaver/v1/chat"]["POST"].as_strategy())
def test_what_the_document_allows_the_contract_allows(case):
    body = json.dumps(case.body).encode()
    assert check_request("POST", "/palaver/v1/chat", body) is None
    request = json_format.Parse(body, chat_service_pb2.ChatRequest())
    broken = {violation.proto.rule_id for violation in protovalidate.collect_violations(request)}
    assert broken <= RULES_OF_SEVERAL_FIELDS


class Page(HTMLParser):
    """Looks at each element."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.targets: set[str] = set()

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        assert tag not in ("script", "iframe", "img", "link"), "it loads nothing"
        assert not [name for name in found if name.startswith("on") or name == "src"]
        if "id" in found:
            assert found["id"] not in self.ids
            self.ids.add(found["id"])
        if found.get("href", "").startswith("#"):
            self.targets.add(found["href"][1:])
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_leads_nowhere_that_is_not_there():
    page = Page()
    page.feed((FOLDER / "docs.html").read_text(encoding="utf-8"))
    assert page.open == []
    assert page.targets <= page.ids
    assert {"StreamChat", "ChatRequest", "GetHealth"} <= page.targets
