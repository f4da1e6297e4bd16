"""xgrammar, called as vLLM's engine calls it, and its errors in words for callers."""

from __future__ import annotations

import re

import xgrammar as xgr

from palaver_server.engine.vllm.grammar.form import MAX_WHITE_SPACE, Form, Kind

MAX_PROBLEM_CHARACTERS = 300
_SOURCE = re.compile(r"^\[[^\]]*\] \S+:\d+: ")
"""The time and the line of the library's own source, before its messages."""


def compile_form(form: Form, vocabulary: xgr.TokenizerInfo, *, any_whitespace: bool = True) -> xgr.CompiledGrammar:
    """Compile as vLLM's engine will (``XgrammarBackend.compile_grammar``)."""
    # One thread: what the limit counts is then what it takes, on every machine.
    compiler = xgr.GrammarCompiler(vocabulary, max_threads=1, cache_enabled=False)
    match form.kind:
        case Kind.JSON:
            return compiler.compile_json_schema(
                form.text,
                any_whitespace=any_whitespace,
                separators=None if any_whitespace else (",", ":"),
                max_whitespace_cnt=MAX_WHITE_SPACE if any_whitespace else None,
            )
        case Kind.REGEX:
            return compiler.compile_regex(form.text)
        case Kind.EBNF:
            return compiler.compile_grammar(form.text)
        case Kind.LARK:
            return compiler.compile_lark(form.text)
        case Kind.TAG:
            return compiler.compile_structural_tag(form.text)


def sentence(error: Exception) -> str:
    """The library's own words, without its own places."""
    return _SOURCE.sub("", " ".join(str(error).split()))[:MAX_PROBLEM_CHARACTERS]
