"""The log: what is written of many lines alike, which texts, and from which level on."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import threading

import pytest
import structlog

from palaver_server.telemetry.repetition import MAX_KINDS, Repetition
from tests.telemetry.test_audit import chat_request


class Written(logging.Handler):
    """Keeps what gets through a filter."""

    def __init__(self, limit: int, window_seconds: float) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self.told = threading.Event()
        self.addFilter(Repetition(limit, self.tell, window_seconds=window_seconds))

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def tell(self, record: logging.LogRecord) -> None:
        self.emit(record)
        self.told.set()

    def say(self, message: object, *arguments: object, name: str = "palaver.x", level: int = logging.INFO) -> None:
        self.handle(logging.LogRecord(name, level, "", 0, message, arguments, None))


def call(code: str, reason: str | None = None, request_id: str = "") -> dict:
    return {"event": "call", "method": "/x/Y", "code": code, "reason": reason, "request_id": request_id}


def test_lines_alike_are_counted_and_told_once_though_nothing_follows():
    written = Written(limit=3, window_seconds=0.2)
    for index in range(1234):
        written.say(call("RESOURCE_EXHAUSTED", "SERVER_OVERLOADED", str(index)))
    assert len(written.records) == 3
    assert written.told.wait(30)
    (told,) = written.records[3:]
    assert told.msg["repeated"] == 1231
    assert (told.msg["reason"], told.msg["method"]) == ("SERVER_OVERLOADED", "/x/Y")
    assert "request_id" not in told.msg  # it would be that of one of many


def test_calls_that_went_well_are_all_written_and_kinds_are_told_apart():
    written = Written(limit=2, window_seconds=1000)
    for _ in range(10):
        written.say(call("OK"))
        written.say(call("NOT_FOUND", "MODEL_NOT_FOUND"))
        written.say(call("UNAUTHENTICATED", "KEY_UNKNOWN"))
    assert [record.msg["code"] for record in written.records].count("OK") == 10
    assert len(written.records) == 10 + 2 + 2


def test_what_libraries_say_differs_by_more_than_its_numbers():
    written = Written(limit=2, window_seconds=1000)
    for index in range(50):
        written.say("step %d of 50 took %.1f s", index, index / 7)
        written.say("step %d of 50 took %.1f s", index, index / 7, level=logging.WARNING)
        written.say("loading shard %d", index)
    assert len(written.records) == 6


def test_ever_new_lines_of_a_library_come_to_an_end_too():
    written = Written(limit=5, window_seconds=1000)
    for index in range(MAX_KINDS * 3):
        written.say(f"saw {'a' * (index % 150)}{'b' * (index // 150)}", name="library")
    assert len(written.records) <= MAX_KINDS + 5


def test_a_new_minute_begins_anew_and_tells_of_the_old_one():
    written = Written(limit=1, window_seconds=0.05)
    for _ in range(5):
        written.say("it happens")
    assert written.told.wait(30)
    written.say("it happens")
    assert [re.sub(r"\(.*", "", record.getMessage()).strip() for record in written.records] == ["it happens"] * 3


SERVE = """
import sys
from palaver_server.telemetry.log import configure_logging
import structlog
configure_logging("info", sys.argv[1], repeat_limit=10)
log = structlog.get_logger("palaver.access")
for index in range(10_000):
    log.info("call", method="/palaver.v1.ChatService/Chat", code="RESOURCE_EXHAUSTED", reason="SERVER_OVERLOADED",
             client="acme", peer="ipv4:127.0.0.1:1", duration_ms=0.5, request_id=f"id-{index}")
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_ten_thousand_refused_calls_fill_no_disk(log_format):
    run = subprocess.run(
        [sys.executable, "-c", SERVE, log_format], capture_output=True, text=True, timeout=60, check=True
    )
    lines = run.stderr.splitlines()
    assert len(lines) == 11, run.stderr[-500:]
    assert len(run.stderr) < 4000
    if log_format == "json":
        assert json.loads(lines[-1])["repeated"] == 9990
    else:
        assert "9,990 times within 60 s" in lines[-1]


BOTH_WAYS = """
import logging, sys
from palaver_server.telemetry.lines import Lines
from palaver_server.telemetry.log import configure_logging
import structlog
configure_logging("info", sys.argv[1], repeat_limit=2)
structlog.contextvars.bind_contextvars(front_end=1)
chain, lines = structlog.get_logger("palaver.access"), Lines("palaver.access")
def by_chain(code, **more):
    structlog.contextvars.bind_contextvars(request_id="mine")
    chain.info("call", method="/x/Y", code=code, duration_ms=1.5, client="Zoë \\u2028 \\"", **more)
    structlog.contextvars.unbind_contextvars("request_id")
def by_lines(code, **more):
    assert lines.are_written(logging.INFO)
    fields = dict(method="/x/Y", code=code, duration_ms=1.5, client="Zoë \\u2028 \\"", **more)
    lines.write(logging.INFO, {**fields, "event": "call", "request_id": "mine"})
for write in (by_chain, by_lines):
    write("OK", prompt_tokens=3, output_tokens=2, cached_tokens=0, labels={"team": ("a", "b")})
    for _ in range(5):
        write("UNAVAILABLE", reason="SERVER_DRAINING")
    structlog.get_logger("palaver.app").info("between")
    logging.getLogger().handlers[0].filters[0].tell_all()
assert not lines.are_written(logging.DEBUG)
"""


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_lines_of_calls_are_as_structlog_s_whole_chain_would_write_them(log_format):
    run = subprocess.run(
        [sys.executable, "-c", BOTH_WAYS, log_format], capture_output=True, text=True, timeout=60, check=True
    )
    written = re.sub(r"\d\d:\d\d:\d\d(\.\d{6}Z)?", "now", run.stderr).rstrip().split("\n")
    by_chain, by_lines = written[:5], written[5:]
    assert len(by_chain) == len(by_lines)
    if log_format == "console":
        assert by_lines == by_chain
        assert by_lines[0].startswith("now Y OK 1.5 ms  3+2 tokens  mine ")
        return
    told = [json.loads(line) for line in by_lines]
    assert told == [json.loads(line) for line in by_chain]
    assert (told[0]["front_end"], told[0]["request_id"], told[4]["repeated"]) == (1, "mine", 3)


async def test_content_is_logged_only_when_asked_for_and_then_redacted(serve, caplog):
    text = "my key is sk-abcdefghijklmnopqrstuvwxyz, mail ada@example.org, ring +49 30 901820"
    quiet = await serve()
    caplog.set_level(logging.INFO, "palaver.access")
    with structlog.testing.capture_logs() as lines:
        await quiet.chat.Chat(chat_request(text))
    assert (lines, [line.msg["event"] for line in caplog.records]) == ([], ["call"])
    assert "my key" not in caplog.text
    loud = await serve(log_content=True)
    with structlog.testing.capture_logs() as lines:
        await loud.chat.Chat(chat_request(text), metadata=[("x-request-id", "mine")])
        await loud.stop()
    (content,) = [line for line in lines if line["event"] == "content"]
    left = "my key is [key], mail [mail address], ring [telephone number]"
    assert (content["request_id"], content["answer"]) == ("mine", [left])
    assert content["prompt"] == [{"role": "user", "text": left}]
    for secret in ("sk-abc", "ada@", "901820"):
        assert secret not in str(lines)


async def test_a_country_that_is_none_is_refused_by_name(serve):
    from palaver_server.settings import SettingsError  # noqa: PLC0415

    with pytest.raises(SettingsError, match="log_content_region: 'Germany'"):
        await serve(log_content=True, log_content_region="Germany")
