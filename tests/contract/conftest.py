"""What the tests of the contract read: its descriptors with their comments, and the tools of this environment."""

import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> list[FileDescriptorProto]:
    """The files of `palaver.v1`, compiled now, with the comments that stand in them."""
    image = tmp_path_factory.mktemp("contract") / "image.binpb"
    protos = ROOT / "protos"
    well_known = Path(protoc.__file__).parent / "_proto"
    files = sorted(str(path.relative_to(protos)) for path in protos.glob("palaver/v1/*.proto"))
    options = [f"-I{protos}", f"-I{well_known}", "--include_source_info", f"--descriptor_set_out={image}"]
    assert protoc.main(["protoc", *options, *files]) == 0
    return list(FileDescriptorSet.FromString(image.read_bytes()).file)


@pytest.fixture(scope="session")
def bin_folder() -> Path:
    """Where the command-line tools of this Python environment lie."""
    return Path(sys.executable).parent
