"""The contract under the tools that guard it: Buf's checks, and the script that makes `gen/`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from palaver.v1.chat_service_pb2 import ChatRequest

ROOT = Path(__file__).resolve().parents[2]
GENERATE = ["protos/generate.py", "--check", "--only", "python", "--only", "descriptor"]


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the contract and what is made from it, to break."""
    ignored = shutil.ignore_patterns("__pycache__", "target")
    for name in ("protos", "gen/python", "gen/descriptor"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "check", [["lint"], ["format", "--diff", "--exit-code"], ["breaking", "--against", "protos/baseline.binpb"]]
)
def test_buf_finds_nothing(bin_folder: Path, check: list[str]) -> None:
    done = run(ROOT, bin_folder / "buf", *check)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("chat_service.proto", "string user_id = 13 [(buf.validate.field).string.max_len = 256];", ""),
        ("chat_service.proto", "string user_id = 13 ", "string user_id = 16 "),
        ("usage.proto", "int32 total_token_count = 5", "double total_token_count = 5"),
        ("usage.proto", '"dev.palaver.v1"', '"dev.palaver.v2"'),
        ("chat_service.proto", "rpc CountTokens(", "rpc Count("),
    ],
    ids=["a removed field", "a renumbered field", "another type", "another Java package", "a renamed RPC"],
)
def test_buf_finds_a_break(bin_folder: Path, checkout: Path, file: str, old: str, new: str) -> None:
    edit(checkout / "protos/palaver/v1" / file, old, new)
    done = run(checkout, bin_folder / "buf", "breaking", "--against", "protos/baseline.binpb")
    assert done.returncode == 100, done.stderr
    assert file in done.stdout


def test_buf_asks_for_a_comment(bin_folder: Path, checkout: Path) -> None:
    edit(checkout / "protos/palaver/v1/usage.proto", "// How many tokens a call took.\n", "")
    done = run(checkout, bin_folder / "buf", "lint")
    assert done.returncode == 100, done.stderr
    assert "comment" in done.stdout


def test_what_is_generated_is_what_the_protos_make() -> None:
    done = run(ROOT, sys.executable, *GENERATE)
    assert (done.returncode, done.stderr) == (0, "")


def test_generated_files_that_were_touched_are_named(checkout: Path) -> None:
    stubs = checkout / "gen/python/palaver/v1"
    (stubs / "role_pb2.py").write_text("# edited\n")
    (stubs / "usage_pb2.py").unlink()
    (stubs / "own_pb2.py").touch()
    done = run(checkout, sys.executable, *GENERATE)
    assert done.returncode == 1
    for line in ("differs: gen/python/palaver/v1/role_pb2.py", "missing: gen/python/palaver/v1/usage_pb2.py"):
        assert line in done.stderr
    assert "not made from the protos: gen/python/palaver/v1/own_pb2.py" in done.stderr


def test_generating_mends_what_was_touched_and_nothing_else(checkout: Path) -> None:
    stubs = checkout / "gen/python/palaver/v1"
    (stubs / "role_pb2.py").write_text("# edited\n")
    (stubs / "own_pb2.py").touch()
    own = checkout / "gen/go/go.mod"
    own.parent.mkdir()
    own.write_text("kept by hand")
    assert run(checkout, sys.executable, *(word for word in GENERATE if word != "--check")).returncode == 0
    assert run(checkout, sys.executable, *GENERATE).returncode == 0
    assert own.read_text() == "kept by hand"
    assert list((checkout / ".cache/protoc").iterdir()) == [], "it leaves nothing behind"


def test_a_broken_proto_is_told_by_file_and_line_and_changes_nothing(checkout: Path) -> None:
    before = (checkout / "gen/python/palaver/v1/usage_pb2.py").read_bytes()
    edit(checkout / "protos/palaver/v1/usage.proto", "int32 total_token_count", "int31 total_token_count")
    done = run(checkout, sys.executable, *(word for word in GENERATE if word != "--check"))
    assert done.returncode == 1
    assert "palaver/v1/usage.proto:" in done.stderr
    assert "Traceback" not in done.stderr
    assert (checkout / "gen/python/palaver/v1/usage_pb2.py").read_bytes() == before


def test_a_language_without_its_tools_is_skipped_and_said_so(checkout: Path) -> None:
    command = [sys.executable, "protos/generate.py", "--check", "--only", "go", "--only", "java"]
    bare = {"PATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=bare, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert "skipped go: the `go` command is not here" in done.stderr
    assert "skipped java: the `java` command is not here" in done.stderr
    strict = [*command, "--strict"]
    assert subprocess.run(strict, cwd=checkout, env=bare, capture_output=True, check=False, timeout=60).returncode == 1


def test_the_descriptor_set_holds_everything_that_the_edge_transcodes() -> None:
    image = FileDescriptorSet.FromString((ROOT / "gen/descriptor/palaver.binpb").read_bytes())
    services = {f"{file.package}.{service.name}" for file in image.file for service in file.service}
    assert services == {f"palaver.v1.{name}Service" for name in ("Chat", "Model", "OpenAI", "Web")}
    names = {f"{file.package}.{message.name}" for file in image.file for message in file.message_type}
    details = {f"google.rpc.{name}" for name in ("ErrorInfo", "BadRequest", "RetryInfo", "QuotaFailure", "Help")}
    assert {"google.rpc.Status", "google.api.HttpBody", "google.protobuf.Any"} | details <= names
    found = {file.name for file in image.file}
    assert all(set(file.dependency) <= found for file in image.file), "it is whole"


def test_json_of_a_request_is_snake_case_and_comes_back_the_same() -> None:
    request = ChatRequest()
    request.messages.add(role="ROLE_USER").content.add(text="hi")
    request.options.max_output_tokens = 5
    request.options.temperature = 0.9
    request.options.logit_bias[7] = -1.5
    text = json_format.MessageToJson(request, preserving_proto_field_name=True)
    assert '"max_output_tokens": 5' in text
    assert '"temperature": 0.9' in text
    assert json_format.Parse(text, ChatRequest()) == request
