"""Between the contract's messages and the domain's objects nothing gets lost."""

from __future__ import annotations

import time

import pytest
from google.protobuf import duration_pb2, json_format, timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from palaver.v1.generation_options_pb2 import GenerationOptions
from palaver_server.core.options import GenerationOptions as Options
from palaver_server.rpc.codec.options import options_from_proto, options_to_proto
from palaver_server.rpc.codec.times import duration_to_proto, timestamp_now
from tests.contract.test_rules import full


def test_every_option_comes_through():
    asked = full().options
    asked.logprob_token_ids.extend([3, 4])
    assert len(asked.ListFields()) == len(asked.DESCRIPTOR.fields), "every field is set"
    assert options_to_proto(options_from_proto(asked)) == asked


SCALARS = [one for one in GenerationOptions.DESCRIPTOR.fields if one.has_presence and one.message_type is None]


@pytest.mark.parametrize("field", SCALARS, ids=lambda field: field.name)
def test_an_option_that_is_set_to_nothing_is_not_one_that_is_unset(field):
    asked = GenerationOptions()
    setattr(asked, field.name, field.default_value)
    said = options_to_proto(options_from_proto(asked))
    # Not to stop before the deadline is the default.
    assert said == (GenerationOptions() if field.name == "stop_before_deadline" else asked)


def test_who_asks_for_no_option_gets_none():
    assert options_from_proto(GenerationOptions()) == Options()


@given(st.floats(min_value=-1, max_value=1e9))
def test_lengths_of_time_are_told_to_the_microsecond(seconds):
    told, usual = duration_to_proto(seconds), duration_pb2.Duration()
    usual.FromMicroseconds(round(max(seconds, 0.0) * 1e6))
    assert told == usual


def test_the_time_of_day_is_told_to_the_microsecond():
    before = time.time_ns() // 1000
    now = timestamp_now()
    assert before <= now.ToMicroseconds() <= time.time_ns() // 1000
    assert now.nanos % 1000 == 0
    again = timestamp_pb2.Timestamp()
    again.FromJsonString(json_format.MessageToJson(now).strip('"'))
    assert again == now
