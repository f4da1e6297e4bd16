"""The audit log when its end was cut off before a restart, and when its files hold anything at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from palaver_server.telemetry.audit.chain import canonical, load_keys
from palaver_server.telemetry.audit.head import FILE as HEAD_FILE
from palaver_server.telemetry.audit.log import AuditLog
from palaver_server.telemetry.audit.verify import Verdict
from palaver_server.telemetry.audit.writer import AuditWriter
from tests.telemetry.audit_log import verdict_of

FIRST_FILE = "audit-00000001.jsonl"


def write(folder: Path, count: int) -> AuditWriter:
    keys = load_keys(folder, may_create=True)
    writer = AuditWriter(folder, keys, max_file_bytes=10**6, retention_days=1)
    for index in range(count):
        writer.add(lambda index=index: {"kind": "call", "index": index})
    writer.close()
    return writer


def lines_of(folder: Path) -> list[bytes]:
    return (folder / FIRST_FILE).read_bytes().splitlines(keepends=True)


def cut(folder: Path, count: int) -> None:
    (folder / FIRST_FILE).write_bytes(b"".join(lines_of(folder)[:-count]))


def test_an_end_that_was_cut_off_before_a_restart_is_told_for_ever(tmp_path, capsys):
    write(tmp_path, 8)
    cut(tmp_path, 3)
    for _ in range(2):
        write(tmp_path, 4)
    found = verdict_of(tmp_path)
    assert [
        finding for finding in found.findings if "after 5 are gone, 8 had been written" in finding
    ] == found.findings
    assert len(found.findings) == 1
    assert (found.record_count, found.last_number) == (14, 14)
    assert "the audit log was cut off" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("remove", "told"),
    [
        (lambda folder: (folder / FIRST_FILE).unlink(), "after 0 are gone, 8 had been written"),
        (lambda folder: (folder / HEAD_FILE).unlink(), "head.json is missing"),
        (lambda folder: (folder / HEAD_FILE).write_bytes(b"{}"), "head.json was changed"),
        (lambda folder: (folder / HEAD_FILE).write_bytes(lines_of(folder)[-1].rstrip()), "another record was put"),
    ],
    ids=["all records", "the head", "the words of the head", "a record for the head"],
)
def test_a_server_that_begins_anew_does_not_hide_what_was_taken_away(tmp_path, remove: Callable[[Path], None], told):
    write(tmp_path, 8)
    remove(tmp_path)
    before = verdict_of(tmp_path)
    assert before.findings
    write(tmp_path, 3)
    assert [told in finding for finding in verdict_of(tmp_path).findings] == [True]


def test_a_server_tells_operators_that_its_log_was_cut_off_until_the_next_start(tmp_path):
    def figure() -> float:
        log = AuditLog(tmp_path, max_file_bytes=10**6, retention_days=1)
        log.close()
        return {sample.name: sample.value for metric in log.collect() for sample in metric.samples}["palaver_audit_cut"]

    write(tmp_path, 8)
    assert figure() == 0
    cut(tmp_path, 2)
    assert figure() == 1
    assert figure() == 0


KILLED_BEFORE_THE_HEAD = """
import os, signal, sys
from pathlib import Path
from palaver_server.telemetry.audit.chain import load_keys
from palaver_server.telemetry.audit.writer import AuditWriter
folder = Path(sys.argv[1])
writer = AuditWriter(folder, load_keys(folder, may_create=True), max_file_bytes=10**6, retention_days=1)
writer._write_head = lambda: os.kill(os.getpid(), signal.SIGKILL)
writer.add(lambda: {"kind": "call"})
writer.close()
"""


@pytest.mark.parametrize("written_before", [0, 5])
def test_a_kill_between_a_record_and_the_head_is_no_sign_of_tampering(tmp_path, written_before):
    if written_before:
        write(tmp_path, written_before)
    command = [sys.executable, "-c", KILLED_BEFORE_THE_HEAD, str(tmp_path)]
    assert subprocess.run(command, check=False, timeout=60).returncode < 0
    killed = verdict_of(tmp_path)
    assert (killed.is_whole, killed.record_count) == (True, written_before + 1)
    with (tmp_path / FIRST_FILE).open("ab") as file:
        file.write(b'{"kind":"call","ti')
    assert not write(tmp_path, 2).was_cut
    after = verdict_of(tmp_path)
    assert (after.is_whole, after.record_count) == (True, written_before + 4), after.findings


def test_a_head_is_no_record_and_a_line_has_one_way_to_be_written(tmp_path):
    write(tmp_path, 4)
    lines = lines_of(tmp_path)
    for line in ((tmp_path / HEAD_FILE).read_bytes() + b"\n", lines[0].replace(b'{"', b'{"number":9,"', 1)):
        (tmp_path / FIRST_FILE).write_bytes(line + b"".join(lines[1:]))
        assert not verdict_of(tmp_path).is_whole


@pytest.fixture(scope="module")
def log_of_five(tmp_path_factory) -> tuple[Path, list[bytes], bytes]:
    folder = tmp_path_factory.mktemp("fuzzed")
    write(folder, 5)
    return folder, lines_of(folder), (folder / HEAD_FILE).read_bytes()


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(some.characters(exclude_categories=())),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3),
    max_leaves=5,
)
DEEP = b"[" * 100_000
FUZZED = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


def looked_at(log: tuple[Path, list[bytes], bytes], index: int, line: bytes) -> Verdict:
    """Of a log with another line in a place; place 5 is the head."""
    folder, lines, head = log
    changed = [*lines[:index], line, *lines[index + 1 :]][:5]
    (folder / FIRST_FILE).write_bytes(b"".join(changed))
    (folder / HEAD_FILE).write_bytes(line if index == len(lines) else head)
    return verdict_of(folder)


@FUZZED
@given(index=some.integers(0, 5), line=some.binary(max_size=40) | some.just(DEEP))
def test_any_bytes_in_any_place_are_told_and_raise_nothing(log_of_five, index, line):
    assert not looked_at(log_of_five, index, line + b"\n").is_whole


@FUZZED
@given(
    index=some.integers(0, 5),
    name=some.sampled_from(["mac", "number", "previous", "kind", "of", "time", "index", "lost", "found"]),
    value=JSON,
)
@example(index=2, name="mac", value="\u00e9")
@example(index=5, name="mac", value="\ud800")
def test_any_value_in_any_field_is_told_by_the_number_of_its_line(log_of_five, index, name, value):
    whole = [*log_of_five[1], log_of_five[2]][index]
    record = json.loads(whole)
    line = canonical({**record, name: value}) + whole[len(whole.rstrip()) :]
    found = looked_at(log_of_five, index, line)
    place = HEAD_FILE if index == 5 else f"{FIRST_FILE}:{index + 1}:"
    if line == whole:
        assert found.is_whole
    else:
        assert any(place in finding for finding in found.findings), found.findings


def test_the_command_takes_the_name_of_the_setting_and_tells_of_a_log_without_records(tmp_path):
    write(tmp_path, 2)
    (tmp_path / FIRST_FILE).unlink()
    command = [sys.executable, "-m", "palaver_server", "audit", "verify", "--audit-dir", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "2 had been written" in run.stdout
