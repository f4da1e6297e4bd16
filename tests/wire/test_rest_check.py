"""What is refused before Envoy makes protobuf of a request: as the function that Envoy's question is answered with."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format

from palaver.v1 import chat_service_pb2
from palaver_server.core.errors import PalaverError, Reason
from palaver_server.rpc.rest import check_request, status_json

CHAT = "/palaver/v1/chat"
STREAM = "/palaver/v1/chat:stream"
COUNT = "/palaver/v1/chat:countTokens"
MODELS = "/palaver/v1/models"
OPENAI = "/v1/chat/completions"
SAID = {"role": "ROLE_USER", "content": [{"text": "hi"}]}


def body(**fields: Any) -> bytes:
    return json.dumps({"messages": [SAID], **fields}).encode()


def options(**fields: Any) -> bytes:
    return body(options=fields)


GOOD = {
    "the least": ("POST", CHAT, body()),
    "every kind of value": (
        "POST",
        CHAT,
        options(
            temperature=1,
            top_p=0.5,
            max_output_tokens=3.0,
            stop_sequences=["a"],
            logit_bias={"3": -1},
            time_limit="1.5s",
            ignore_eos=False,
        ),
    ),
    "null for a field that is left unset": ("POST", CHAT, options(temperature=None, stop_sequences=None)),
    "lowerCamelCase": ("POST", CHAT, options(maxOutputTokens=3)),
    "a body that is one field": ("POST", STREAM, body()),
    "query parameters": ("POST", f"{STREAM}?include_running_usage=true&minTokensPerDelta=4", body()),
    "a percent-encoded query": ("GET", f"{MODELS}?page%5Fsize=5&page_token=%C3%A9", b""),
    "a page of models": ("GET", f"{MODELS}?page_size=5", b""),
    "a model with slashes in its name": ("GET", f"{MODELS}/zai-org/GLM-4.5-Air", b""),
    "OpenAI's body, which its service reads": ("POST", "/v1/chat/completions", b"{"),
    "a path of nobody, which the edge refuses": ("POST", "/v2/chat", b"{"),
    "a method of nobody, likewise": ("DELETE", CHAT, b"{"),
}


@pytest.mark.parametrize("request_", GOOD.values(), ids=GOOD)
def test_what_the_contract_has_is_taken(request_):
    assert check_request(*request_) is None


UNKNOWN, INVALID, MALFORMED = Reason.FIELD_NOT_SUPPORTED, Reason.INVALID_FIELD, Reason.MALFORMED_REQUEST
DEEP = b'{"messages":' + b"[" * 5000 + b"]" * 5000 + b"}"
BAD = {
    "an unknown field": ("POST", CHAT, body(max_tokens=3), UNKNOWN, "max_tokens"),
    "an unknown field below": ("POST", CHAT, options(temprature=1), UNKNOWN, "options.temprature"),
    "an unknown field in a list": ("POST", CHAT, body(messages=[{**SAID, "x": 1}]), UNKNOWN, "messages[0].x"),
    "an unknown field in a field's body": ("POST", STREAM, options(top=1), UNKNOWN, "chat.options.top"),
    "a body that is wrapped once too often": ("POST", STREAM, b'{"chat": {}}', UNKNOWN, "chat.chat"),
    "a field twice": ("POST", CHAT, b'{"model": "a", "model": "b"}', MALFORMED, "model"),
    "a field twice, below": ("POST", COUNT, b'{"options":{"seed":1,"seed":1}}', MALFORMED, "chat.options.seed"),
    "a field in both spellings": ("POST", CHAT, body(userId="a", user_id="a"), INVALID, "user_id"),
    "text for a number": ("POST", CHAT, options(top_p="0.5"), INVALID, "options.top_p"),
    "NaN in quotes": ("POST", CHAT, options(top_p="NaN"), INVALID, "options.top_p"),
    "a number beyond doubles": ("POST", CHAT, b'{"options":{"top_p":1e999}}', INVALID, "options.top_p"),
    "an integer beyond doubles": ("POST", CHAT, options(top_p=10**400), INVALID, "options.top_p"),
    "a boolean for a number": ("POST", CHAT, options(seed=True), INVALID, "options.seed"),
    "a broken integer": ("POST", CHAT, options(seed=1.5), INVALID, "options.seed"),
    "an integer beyond 32 bits": ("POST", CHAT, options(seed=2**31), INVALID, "options.seed"),
    "a number for text": ("POST", CHAT, body(model=3), INVALID, "model"),
    "text for a boolean": ("POST", CHAT, options(ignore_eos="true"), INVALID, "options.ignore_eos"),
    "text for a list": ("POST", CHAT, body(messages="hi"), INVALID, "messages"),
    "text for an object": ("POST", CHAT, body(options="hot"), INVALID, "options"),
    "a list for an object": ("POST", CHAT, body(options=[]), INVALID, "options"),
    "an object for a list": ("POST", CHAT, body(messages={}), INVALID, "messages"),
    "text for a message": ("POST", CHAT, body(messages=["hi"]), INVALID, "messages[0]"),
    "null in a list": ("POST", CHAT, options(bad_words=[None]), INVALID, "options.bad_words[0]"),
    "null for the kind of a part": ("POST", CHAT, body(messages=[{"role": "ROLE_USER", "content": [{"text": None}]}]), INVALID, "messages[0].content[0].text"),
    "a role that does not exist": ("POST", CHAT, body(messages=[{**SAID, "role": "user"}]), INVALID, "messages[0].role"),
    "a role by number": ("POST", CHAT, body(messages=[{**SAID, "role": 2}]), INVALID, "messages[0].role"),
    "a duration by number": ("POST", CHAT, options(time_limit=3), INVALID, "options.time_limit"),
    "a duration without its unit": ("POST", CHAT, options(time_limit="3"), INVALID, "options.time_limit"),
    "a map's key of the wrong type": ("POST", CHAT, options(logit_bias={"x": 1}), INVALID, "options.logit_bias.x"),
    "a map's value of the wrong type": ("POST", CHAT, body(labels={"a": 1}), INVALID, "labels.a"),
    "no body": ("POST", CHAT, b"", MALFORMED, None),
    "blanks": ("POST", CHAT, b"  \n", MALFORMED, None),
    "half a document": ("POST", CHAT, b'{"messages": [', MALFORMED, None),
    "more than a document": ("POST", CHAT, b"{} {}", MALFORMED, None),
    "a list": ("POST", CHAT, b"[]", MALFORMED, None),
    "NaN": ("POST", CHAT, b'{"options": {"top_p": NaN}}', MALFORMED, None),
    "bytes that are no UTF-8": ("POST", CHAT, b'{"model": "\xff"}', MALFORMED, None),
    "half a character": ("POST", CHAT, b'{"model": "\\ud800"}', MALFORMED, "model"),
    "deep nesting": ("POST", CHAT, DEEP, MALFORMED, None),
    "an unknown query parameter": ("GET", f"{MODELS}?size=3", b"", UNKNOWN, "size"),
    "a query where none belongs": ("POST", f"{CHAT}?model=x", body(), UNKNOWN, "model"),
    "the path's field in the query": ("GET", f"{MODELS}/x?name=models/y", b"", UNKNOWN, "name"),
    "the body's field in the query": ("POST", f"{STREAM}?chat.model=x", body(), UNKNOWN, "chat.model"),
    "a query parameter twice": ("GET", f"{MODELS}?page_size=3&pageSize=4", b"", MALFORMED, "pageSize"),
    "a query parameter of the wrong type": ("GET", f"{MODELS}?page_size=many", b"", INVALID, "page_size"),
    "a query parameter without a value": ("GET", f"{MODELS}?page_size", b"", INVALID, "page_size"),
    "a query that is no UTF-8": ("GET", f"{MODELS}?page_token=%FF", b"", MALFORMED, "page_token"),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_anything_else_is_refused_by_its_path(bad):
    method, path, sent, reason, field = bad
    error = check_request(method, path, sent)
    assert isinstance(error, PalaverError)
    assert error.reason is reason
    assert [violation.field for violation in error.violations] == ([field] if field else [])
    assert error.message.startswith(f"{field}: " if field else "Th")


def test_of_a_body_that_its_method_reads_itself_the_query_alone_is_looked_at():
    assert check_request("POST", OPENAI, b"{") is None
    error = check_request("POST", f"{OPENAI}?api-version=1", b"{}")
    assert error is not None
    assert (error.reason, error.violations[0].field) == (UNKNOWN, "api-version")


def test_a_close_name_is_told():
    error = check_request("POST", CHAT, options(temprature=1))
    assert error is not None
    assert "did you mean temperature?" in error.message


def test_several_faults_are_told_at_once_and_not_without_end():
    error = check_request("POST", CHAT, options(bad_words=[1] * 100))
    assert error is not None
    assert len(error.violations) == 16


def test_what_a_protobuf_printer_writes_is_taken():
    request = chat_service_pb2.ChatRequest(model="m", priority=-1, labels={"a": "b"})
    message = request.messages.add(role="ROLE_USER")
    message.content.add(text="\U0001f600 \u2028")
    request.options.logit_bias[7] = -100
    request.options.time_limit.FromMilliseconds(1500)
    request.tools.add(name="f", parameters_json_schema="{}")
    request.tool_choice.tool_name = "f"
    for keep in (True, False):
        printed = json_format.MessageToJson(request, preserving_proto_field_name=keep)
        assert check_request("POST", CHAT, printed.encode()) is None


def test_a_refusal_is_printed_as_the_transcoder_prints_it():
    error = check_request("POST", CHAT, options(temprature=1))
    assert error is not None
    printed = json.loads(status_json(error, "id-1"))
    assert (printed["code"], printed["message"]) == (3, error.message)
    info, blamed = printed["details"]
    assert info == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "FIELD_NOT_SUPPORTED",
        "domain": "palaver.v1",
        "metadata": {"request_id": "id-1"},
    }
    assert blamed["field_violations"][0]["field"] == "options.temprature"
