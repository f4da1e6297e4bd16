"""Every bad schema, expression and grammar is refused by its field, with what is wrong and where."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import psutil
import pytest
import pytest_asyncio

from palaver_server.core.errors import PalaverError, Reason
from palaver_server.engine.policy import FormLimits
from palaver_server.engine.vllm.grammar.form import Form, Kind
from palaver_server.engine.vllm.grammar.gate import MAX_WAITING_OF_ONE_CLIENT, Gate
from tests.engine.compiling import new_gate

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(300)]

LIMITS = FormLimits(compile_seconds=2.0)
JSON, REGEX, EBNF, LARK, TAG = Kind.JSON, Kind.REGEX, Kind.EBNF, Kind.LARK, Kind.TAG


class Row(NamedTuple):
    """A form, and words that its refusal must hold."""

    kind: Kind
    form: Any
    words: str


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = of(a=schema)
    return schema


LOOP = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
ENDLESS = {
    "$defs": {"node": {**of(next={"$ref": "#/$defs/node"}), "required": ["next"]}},
    "$ref": "#/$defs/node",
}
ENDLESS_LIST = {"type": "array", "minItems": 1, "items": {"$ref": "#"}}
SUBSETS = {**of(**{f"p{n}": {"type": "string"} for n in range(300)}), "minProperties": 150, "maxProperties": 200}
LENGTHS = {"anyOf": [{"type": "string", "minLength": n, "maxLength": n + 500} for n in range(200)]}
PETS = [of(kind={"const": "cat"}), of(kind={"const": "dog"})]

ROWS = {
    "no JSON": Row(JSON, "{", "JSON text"),
    "a list for a schema": Row(JSON, [], "no JSON Schema"),
    "a type that does not exist": Row(JSON, {"type": "strin"}, "$.type"),
    "a length in words": Row(JSON, of(a={"type": "string", "minLength": "3"}), "$.properties.a.minLength"),
    "a negative length": Row(JSON, {"type": "string", "maxLength": -1}, "$.maxLength"),
    "required that is no list": Row(JSON, {**of(a={}), "required": "a"}, "$.required"),
    "required that is no property": Row(JSON, {**of(a={}), "required": ["b"]}, "'b'"),
    "a keyword of nobody": Row(JSON, of(a={"type": "string", "maxlength": 3}), "$.properties.a.maxlength"),
    "multiples": Row(JSON, of(a={"type": "integer", "multipleOf": 3}), "$.properties.a.multipleOf"),
    "unique items": Row(JSON, {"type": "array", "items": {}, "uniqueItems": True}, "$.uniqueItems"),
    "contains": Row(JSON, {"type": "array", "contains": {"type": "string"}}, "$.contains"),
    "not": Row(JSON, {"not": {"type": "string"}}, "$.not"),
    "if": Row(JSON, {"if": {"type": "string"}, "then": {}}, "$.if"),
    "dependent properties": Row(JSON, {**of(a={}), "dependentRequired": {"a": ["b"]}}, "$.dependentRequired"),
    "allOf of two": Row(JSON, {"allOf": [{"type": "string"}, {"enum": ["a"]}]}, "$.allOf"),
    "oneOf that overlaps": Row(JSON, {"oneOf": [{"type": "string"}, {"type": ["string", "null"]}]}, "$.oneOf"),
    "oneOf whose mark is optional": Row(JSON, {"oneOf": PETS}, "$.oneOf"),
    "rules beside anyOf": Row(JSON, {"anyOf": [of(a={})], "required": ["a"]}, "$.required"),
    "a length without its type": Row(JSON, {"minLength": 3}, '"type": "string"'),
    "a pattern with a length": Row(JSON, {"type": "string", "pattern": "a+", "maxLength": 3}, "$.maxLength"),
    "an unknown format": Row(JSON, {"type": "string", "format": "isbn"}, "$.format"),
    "a reference to nothing": Row(JSON, of(a={"$ref": "#/$defs/x"}), "$.properties.a.$ref"),
    "a reference to the network": Row(JSON, of(a={"$ref": "https://example.com/a.json"}), "$.properties.a.$ref"),
    "a reference to itself": Row(JSON, LOOP, "without end"),
    "a list without end": Row(JSON, ENDLESS, "without end"),
    "lists in lists without end": Row(JSON, ENDLESS_LIST, "without end"),
    "bounds that cross": Row(JSON, {"type": "string", "minLength": 5, "maxLength": 3}, "$.minLength"),
    "numbers that cross": Row(JSON, {"type": "integer", "minimum": 5, "maximum": 3}, ""),
    "false": Row(JSON, of(a=False), "$.properties.a"),
    "an empty enum": Row(JSON, {"enum": []}, "enum"),
    "an enum beside another type": Row(JSON, {"type": "integer", "enum": [1, "a"]}, "$.enum[1]"),
    "65 levels": Row(JSON, nested(65), "64 levels"),
    "100,000 levels": Row(JSON, "[" * 100_000 + "]" * 100_000, ""),
    "a pattern that is none": Row(JSON, {"type": "string", "pattern": "("}, "pattern"),
    "a pattern that looks ahead": Row(JSON, {"type": "string", "pattern": "(?=a)b"}, "not supported"),
    "a quotation mark in a pattern": Row(JSON, {"type": "string", "pattern": 'a"b'}, "$.pattern"),
    "too much text": Row(JSON, {"enum": ["x" * 1000 + str(n) for n in range(200)]}, "131072 bytes"),
    "subsets of 300 properties": Row(JSON, SUBSETS, "seconds to compile"),
    "200 ranges of lengths": Row(JSON, LENGTHS, "to compile"),
    "an expression that is not closed": Row(REGEX, "(a", "position 3"),
    "an expression that looks ahead": Row(REGEX, "a(?!b)", "Lookahead"),
    "an expression that looks back": Row(REGEX, r"(a)\1", "Backreference"),
    "an expression with a NUL": Row(REGEX, "a\0b", "NUL"),
    "600 overlapping repetitions": Row(REGEX, "|".join(f"[a-z]{{{n},{n + 300}}}" for n in range(600)), "to compile"),
    "a grammar that is not closed": Row(EBNF, 'root ::= "a"\nfoo ::= ( "b"\n', "line 3"),
    "a grammar without a root": Row(EBNF, 'start ::= "a"', '"root" is not found'),
    "a rule that is not there": Row(EBNF, "root ::= foo", '"foo" is not defined'),
    "a grammar of nothing": Row(EBNF, "root ::= root", "could ever be complete"),
    "a blank grammar": Row(LARK, "   ", "empty"),
    "a Lark name that is not there": Row(LARK, 'start: "a" b', "line 1"),
    "a tag that is no JSON": Row(TAG, "{", "JSON text"),
    "a tag of no format": Row(TAG, {"type": "structural_tag", "format": {"type": "html"}}, "cannot be compiled"),
    "a tag with a bad schema": Row(
        TAG,
        {"type": "structural_tag", "format": {"type": "json_schema", "json_schema": {"not": {}}}},
        "$.format.json_schema.not",
    ),
}
FINE = {
    "any object": Row(JSON, {"type": "object"}, ""),
    "anything": Row(JSON, True, ""),
    "a tree": Row(
        JSON,
        {
            "$defs": {
                "node": {**of(children={"type": "array", "items": {"$ref": "#/$defs/node"}}), "required": ["children"]}
            },
            "$ref": "#/$defs/node",
        },
        "",
    ),
    "a discriminated union": Row(
        JSON, {"oneOf": [{**pet, "required": ["kind"]} for pet in PETS], "discriminator": {"propertyName": "kind"}}, ""
    ),
    "an expression that backtracks elsewhere": Row(REGEX, "(a+)+$", ""),
    "anchors": Row(REGEX, "^ab?c$", ""),
    "2000 choices": Row(EBNF, "root ::= " + " | ".join(f'"choice {n}"' for n in range(2000)), ""),
}


def form(row: Row) -> Form:
    return Form(row.kind, row.form if isinstance(row.form, str) else json.dumps(row.form))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gate() -> AsyncIterator[Gate]:
    gate, _ = new_gate(LIMITS)
    yield gate
    await gate.close()


async def refusal(gate: Gate, row: Row) -> PalaverError:
    with pytest.raises(PalaverError) as caught:
        await gate.admit(form(row), "chat.response_format.x")
    return caught.value


@pytest.mark.parametrize("name", ROWS)
async def test_a_bad_form_is_refused_with_what_is_wrong(gate: Gate, name: str) -> None:
    error = await refusal(gate, ROWS[name])

    assert error.reason is Reason.INVALID_FIELD
    assert [violation.field for violation in error.violations] == ["chat.response_format.x"]
    assert ROWS[name].words in error.message
    assert ".cc" not in error.message
    assert len(error.message) < 500


@pytest.mark.parametrize("name", FINE)
async def test_a_usual_form_passes(gate: Gate, name: str) -> None:
    await gate.admit(form(FINE[name]), "f")


async def test_a_refused_form_is_remembered(gate: Gate) -> None:
    row = Row(JSON, {**SUBSETS, "title": "asked twice"}, "")
    first = await refusal(gate, row)

    async with asyncio.timeout(LIMITS.compile_seconds / 2):
        second = await refusal(gate, row)

    assert second.message == first.message


async def test_the_event_loop_stays_free_while_a_hostile_form_is_compiled(gate: Gate) -> None:
    loop = asyncio.get_running_loop()
    hostile = asyncio.create_task(refusal(gate, Row(JSON, {**SUBSETS, "title": "beside others"}, "")))
    gaps, usual, last = [], 0, loop.time()
    while not hostile.done():
        await asyncio.sleep(0.01)
        gaps.append(loop.time() - last)
        last = loop.time()
        if len(gaps) % 10 == 0:
            await gate.admit(Form(REGEX, f"usual {usual}"), "f")
            usual += 1
            last = loop.time()

    assert "seconds to compile" in (await hostile).message
    assert usual > 0
    assert max(gaps) < LIMITS.compile_seconds / 2


@pytest.mark.thorough
async def test_a_form_that_needs_too_much_memory_is_refused() -> None:
    gate, _ = new_gate(FormLimits(compile_seconds=60.0, compile_mib=64))
    try:
        error = await refusal(gate, Row(JSON, SUBSETS, ""))
        await gate.admit(Form(REGEX, "a"), "f")
    finally:
        await gate.close()

    assert "64 MiB of memory" in error.message


async def test_one_client_cannot_fill_the_queue(gate: Gate) -> None:
    asked = [
        asyncio.create_task(gate.admit(Form(REGEX, f"mine {n}"), "f", "greedy"))
        for n in range(MAX_WAITING_OF_ONE_CLIENT + 4)
    ]
    await gate.admit(Form(REGEX, "another's"), "f", "modest")
    results = await asyncio.gather(*asked, return_exceptions=True)

    refused = [error for error in results if isinstance(error, PalaverError)]
    assert len(refused) == 4
    assert {error.reason for error in refused} == {Reason.SERVER_OVERLOADED}
    assert all(error.retry_after_seconds for error in refused)


@pytest.mark.thorough
async def test_a_killed_compiler_is_started_again() -> None:
    gate, process = new_gate(LIMITS)
    try:
        await gate.admit(Form(REGEX, "a"), "f")
        first = process.pid
        hostile = asyncio.create_task(refusal(gate, Row(JSON, SUBSETS, "")))
        compiler = psutil.Process(first)
        while not compiler.children():
            await asyncio.sleep(0.01)
        forks = compiler.children()
        compiler.send_signal(signal.SIGKILL)
        error = await hostile
        second = process.pid
    finally:
        await gate.close()

    assert "seconds to compile" in error.message  # asked again of the new one
    assert second not in (None, first)
    _, alive = await asyncio.to_thread(psutil.wait_procs, forks, timeout=60)
    assert not [fork for fork in alive if fork.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.thorough
async def test_nothing_is_left_when_the_gate_is_closed() -> None:
    gate, process = new_gate(LIMITS)
    await gate.admit(Form(REGEX, "a"), "f")
    hostile = asyncio.create_task(gate.admit(form(Row(JSON, SUBSETS, "")), "f"))
    assert process.pid is not None
    compiler = psutil.Process(process.pid)
    while not compiler.children():
        await asyncio.sleep(0.01)
    forks = compiler.children()

    await gate.close()

    await asyncio.gather(hostile, return_exceptions=True)
    assert not os.path.exists(f"/proc/{compiler.pid}")  # noqa: PTH110, ASYNC240
    _, alive = await asyncio.to_thread(psutil.wait_procs, forks, timeout=60)
    assert not [fork for fork in alive if fork.status() != psutil.STATUS_ZOMBIE]


async def test_the_compiling_process_can_be_started_before_the_first_form() -> None:
    gate, process = new_gate(LIMITS)
    try:
        gate.start()
        async with asyncio.timeout(120):
            while process.pid is None:
                await asyncio.sleep(0.01)
        early = process.pid
        await gate.admit(Form(REGEX, "a"), "f")
        assert process.pid == early
    finally:
        await gate.close()
    assert not psutil.pid_exists(early)


async def test_a_start_that_is_broken_off_leaves_no_process_behind() -> None:
    gate, process = new_gate(LIMITS)
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    gate.start()
    async with asyncio.timeout(120):
        while not (begun := [child for child in me.children(recursive=True) if child.pid not in before]):
            await asyncio.sleep(0.001)
    await gate.close()

    assert process.pid is None
    assert not any(child.is_running() for child in begun)
