"""The audit log, changed in every way that somebody might try: each is found, and the record to blame is named."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from palaver_server.telemetry.audit.chain import Keys, canonical, sealed
from palaver_server.telemetry.audit.head import FILE as HEAD_FILE
from tests.telemetry.audit_log import lines_of, verdict_of, write


def change(fields: dict):
    def apply(folder: Path) -> None:
        path = sorted(folder.glob("audit-*.jsonl"))[1]
        lines = lines_of(path)
        lines[2] = canonical({**json.loads(lines[2]), **fields}) + b"\n"
        path.write_bytes(b"".join(lines))

    return apply


def edit(make, index: int = 1):
    def apply(folder: Path) -> None:
        path = sorted(folder.glob("audit-*.jsonl"))[index]
        path.write_bytes(b"".join(make(lines_of(path))))

    return apply


def forge_with_another_key(folder: Path) -> None:
    path = sorted(folder.glob("audit-*.jsonl"))[1]
    lines, keys = lines_of(path), Keys(b"0" * 32)
    record = json.loads(lines[2])
    bare = {name: value for name, value in record.items() if name not in ("mac", "number", "previous")}
    lines[2] = canonical(sealed(keys, bare, record["number"], record["previous"])) + b"\n"
    path.write_bytes(b"".join(lines))


def hash_without_a_key(folder: Path) -> None:
    path = sorted(folder.glob("audit-*.jsonl"))[1]
    lines = lines_of(path)
    record = json.loads(lines[2])
    record["index"] = 999
    record["mac"] = hashlib.sha256(canonical({k: v for k, v in record.items() if k != "mac"})).hexdigest()
    lines[2] = canonical(record) + b"\n"
    path.write_bytes(b"".join(lines))


def replace_the_key(folder: Path) -> None:
    (folder / "audit.key").write_bytes(b"0" * 32)


def swap_files(folder: Path) -> None:
    first, second = sorted(folder.glob("audit-*.jsonl"))[1:3]
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def cut_the_end_and_wind_the_head_back_by_hand(folder: Path) -> None:
    edit(lambda lines: lines[:-1], -1)(folder)
    head = json.loads((folder / HEAD_FILE).read_bytes())
    (folder / HEAD_FILE).write_bytes(canonical({**head, "number": head["number"] - 1}))


TAMPERING = {
    "a field is changed": change({"index": 999}),
    "a field is added": change({"note": "harmless"}),
    "the number is changed": change({"number": 7777}),
    "the hash is changed": change({"mac": "0" * 64}),
    "the hash of the one before is changed": change({"previous": "0" * 64}),
    "the key is another": replace_the_key,
    "a record is forged with another key": forge_with_another_key,
    "a record is hashed without a key": hash_without_a_key,
    "a record is removed": edit(lambda lines: lines[:2] + lines[3:]),
    "two records are swapped": edit(lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]]),
    "a record is there twice": edit(lambda lines: [*lines[:3], lines[2], *lines[3:]]),
    "a line is put in": edit(lambda lines: [*lines[:2], b'{"kind":"call"}\n', *lines[2:]]),
    "a line is no record": edit(lambda lines: [*lines[:2], b"nonsense\n", *lines[3:]]),
    "the first record is removed": edit(lambda lines: lines[1:], 0),
    "the end is cut off": edit(lambda lines: lines[:-2], -1),
    "a file in the middle is cut off": edit(lambda lines: [*lines[:-1], lines[-1][:20]]),
    "a file in the middle is removed": lambda folder: sorted(folder.glob("audit-*.jsonl"))[1].unlink(),
    "the first file is removed": lambda folder: min(folder.glob("audit-*.jsonl")).unlink(),
    "the last file is emptied": edit(lambda lines: [], -1),
    "two files change places": swap_files,
    "the head is removed": lambda folder: (folder / HEAD_FILE).unlink(),
    "the head is wound back": cut_the_end_and_wind_the_head_back_by_hand,
}


@pytest.fixture(scope="module")
def whole_log(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    write(folder, 56)
    assert verdict_of(folder).is_whole
    return folder


@pytest.mark.parametrize("tampering", TAMPERING)
def test_tampering_is_found(tampering, whole_log, tmp_path):
    for path in whole_log.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / path.name).chmod(0o600)
    assert verdict_of(tmp_path).is_whole
    TAMPERING[tampering](tmp_path)
    assert not verdict_of(tmp_path).is_whole


def test_the_record_to_blame_is_named_by_the_command(tmp_path):
    write(tmp_path, 25)
    change({"index": 999})(tmp_path)
    number = json.loads(lines_of(sorted(tmp_path.glob("audit-*.jsonl"))[1])[2])["number"]
    command = [sys.executable, "-m", "palaver_server", "audit", "verify", "--dir", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert f"record {number} was changed" in run.stdout
    query = [*command[:4], "query", "--dir", str(tmp_path), "--last", "2"]
    printed = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout
    assert [json.loads(line)["index"] for line in printed.splitlines()] == [23, 24]
