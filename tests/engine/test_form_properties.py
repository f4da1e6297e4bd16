"""Whatever a compiled schema lets a model write is JSON that fits the schema, whatever the model writes."""

from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

import jsonschema
import pytest
import xgrammar as xgr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from palaver_server.engine.vllm.grammar.form import Form, Kind
from palaver_server.engine.vllm.grammar.library import compile_form
from palaver_server.engine.vllm.grammar.schema import form_problem
from palaver_server.engine.vllm.grammar.sound import sound_form
from palaver_server.engine.vllm.grammar.walk import AllowedTokens
from tests.engine.compiling import vocabulary

pytestmark = pytest.mark.timeout(300)

MAX_TOKENS = 3000
PATIENCE = 60
"""Tokens after which the writer takes what ends things soonest."""
ENDINGS = ('"', "@", "}", "]", ".", ":", ",")
"""The sooner the better; the end itself comes first."""
NAMES = st.text('abcxyz_é"\\ -', min_size=1, max_size=4)
PATTERNS = st.sampled_from(["^[a-c]{2,4}$", "x+y?", "(ab|cd)*", "[0-9]{3}-[0-9]{4}", "é{1,2}", "a.c"])
FORMATS = st.sampled_from(["date", "time", "date-time", "uuid", "ipv4", "email", "hostname"])


def strings() -> st.SearchStrategy[dict[str, Any]]:
    bounded = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(
        lambda pair: {"type": "string", "minLength": min(pair), "maxLength": max(pair)}
    )
    shaped = PATTERNS.map(lambda pattern: {"type": "string", "pattern": pattern})
    named = FORMATS.map(lambda name: {"type": "string", "format": name})
    return bounded | shaped | named


def numbers() -> st.SearchStrategy[dict[str, Any]]:
    def bounded(kind: str, low: int, high: int, words: tuple[str, str]) -> dict[str, Any]:
        return {"type": kind, words[0]: low, words[1]: high + 2}

    words = st.sampled_from([("minimum", "maximum"), ("exclusiveMinimum", "exclusiveMaximum")])
    pairs = st.tuples(st.integers(-2000, 2000), st.integers(-2000, 2000)).map(sorted)
    return st.builds(
        lambda kind, pair, said: bounded(kind, *pair, said), st.sampled_from(["integer", "number"]), pairs, words
    )


def plain() -> st.SearchStrategy[dict[str, Any]]:
    values = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
    return (
        strings()
        | numbers()
        | st.just({"type": "boolean"})
        | st.just({"type": "null"})
        | st.just({"type": ["integer", "null"]})
        | values.map(lambda value: {"const": value})
        | st.lists(values, min_size=1, max_size=4).map(lambda found: {"enum": found})
    )


def containers(child: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def objects(draw: st.DrawFn) -> dict[str, Any]:
        properties = draw(st.dictionaries(NAMES, child, max_size=4))
        required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
        more = draw(st.sampled_from([{}, {"additionalProperties": False}]))
        return {"type": "object", "properties": properties, "required": required, **more}

    @st.composite
    def arrays(draw: st.DrawFn) -> dict[str, Any]:
        low, high = sorted([draw(st.integers(0, 3)), draw(st.integers(0, 3))])
        first = draw(st.sampled_from([[], [{"type": "boolean"}]]))
        return {"type": "array", "items": draw(child), "minItems": low, "maxItems": high + len(first)} | (
            {"prefixItems": first} if first else {}
        )

    return objects() | arrays() | st.lists(child, min_size=1, max_size=3).map(lambda found: {"anyOf": found})


SCHEMAS = st.recursive(plain(), containers, max_leaves=6)


@cache
def _endings() -> list[int]:
    tokens = list(vocabulary().decoded_vocab)
    return [*vocabulary().stop_token_ids, *(tokens.index(text.encode()) for text in ENDINGS)]


def write(compiled: xgr.CompiledGrammar, seed: int) -> str:
    """What a model without a mind would write."""
    tokens, endings, draw = vocabulary().decoded_vocab, _endings(), random.Random(seed)
    matcher, allowed = xgr.GrammarMatcher(compiled), AllowedTokens(len(tokens))
    written = b""
    for place in range(MAX_TOKENS):
        token_ids = allowed.now(matcher).tolist()
        assert token_ids, f"nothing may follow {written!r}"
        chosen = draw.choice(token_ids)
        if place > PATIENCE:
            may = set(token_ids)
            chosen = next((one for one in endings if one in may), chosen)
        assert matcher.accept_token(chosen)
        if matcher.is_terminated():
            return written.decode()
        written += tokens[chosen]
    raise AssertionError(f"no end after {MAX_TOKENS} tokens: {written[-200:]!r}")


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(schema=SCHEMAS, seed=st.integers(0, 2**32))
def test_what_a_schema_allows_fits_the_schema(schema: dict[str, Any], seed: int) -> None:
    form = Form(Kind.JSON, json.dumps(schema))
    assert not form_problem(form)

    text = write(compile_form(sound_form(form), vocabulary()), seed)

    jsonschema.Draft202012Validator(schema).validate(json.loads(text))
