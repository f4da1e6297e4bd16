"""What is rendered: the example of deploy/envoy is current, and Envoy accepts every configuration there can be."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from palaver.v1 import chat_service_pb2
from palaver_server.edge.binary import find_envoy
from palaver_server.rpc.descriptor_set import descriptor_set

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "deploy" / "envoy"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PALAVER_")}


def render(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "palaver_server", "edge", "render", str(folder), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)


def validate(configuration: Path, *before: str) -> subprocess.CompletedProcess[str]:
    envoy = (str(find_envoy(None)), "--mode", "validate", "--log-level", "warning", "-c", str(configuration))
    return subprocess.run([*before, *envoy], capture_output=True, text=True, check=False)


def example_flags() -> list[str]:
    """The flags of the command that deploy/README.md shows for the example."""
    text = (ROOT / "deploy" / "README.md").read_text()
    command = text.partition("palaver edge render deploy/envoy ")[2].partition("\n```")[0]
    return shlex.split(command.replace("\\\n", " "))


def test_the_example_is_what_its_command_renders(tmp_path):
    done = render(tmp_path, *example_flags())
    assert done.returncode == 0, done.stderr
    for name in ("envoy.yaml", "certificate.yaml", "access-log.yaml"):
        assert (EXAMPLE / name).read_text() == (tmp_path / name).read_text(), f"render deploy/envoy/{name} anew"


def test_envoy_accepts_the_example(tmp_path):
    # The example names paths of its container: the descriptors are put where this machine has them.
    (tmp_path / "palaver.binpb").write_bytes(descriptor_set())
    for file in EXAMPLE.glob("*.yaml"):
        (tmp_path / file.name).write_text(file.read_text().replace("/etc/palaver/edge", str(tmp_path)))
    done = validate(tmp_path / "envoy.yaml")
    assert done.returncode == 0, done.stderr


SWITCHES = (
    ("--edge-origins", "https://a.example, https://b.example"),
    ("--edge-origins", "*"),
    ("--edge-client-ca", "/etc/ca.pem"),
    ("--edge-access-log", "off"),
    ("--edge-access-log", "/tmp/access.log"),
    ("--edge-rate-limit-service", "limits:8081"),
    ("--edge-listen", "[::]:8443"),
)
EVERY_CONFIGURATION = ((), *SWITCHES, sum((SWITCHES[number] for number in (0, 2, 4, 5, 6)), ()))
"""What the template says only for some: each alone, and together what can stand together."""


@pytest.mark.parametrize("flags", EVERY_CONFIGURATION, ids=" ".join)
def test_envoy_accepts_every_configuration(tmp_path, flags):
    assert render(tmp_path, *flags).returncode == 0
    done = validate(tmp_path / "envoy.yaml")
    assert done.returncode == 0, done.stderr


def test_values_cannot_break_out_of_their_place(tmp_path):
    odd = 'https://a.example"}, {safe_regex: {regex: ".*"}} #'
    assert render(tmp_path, "--edge-origins", odd).returncode == 0
    assert validate(tmp_path / "envoy.yaml").returncode == 0
    assert "exact: " in (tmp_path / "envoy.yaml").read_text()


@pytest.mark.skipif(os.getuid() != 0 or shutil.which("setpriv") is None, reason="becomes another user, so needs root")
def test_an_unprivileged_user_without_network_can_validate(tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    assert render(tmp_path).returncode == 0
    lonely = ("unshare", "--net")
    if subprocess.run([*lonely, "true"], capture_output=True, check=False).returncode:
        lonely = ()  # this kernel, or a sandbox, gives no network of one's own
    nobody = (*lonely, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--no-new-privs")
    done = validate(tmp_path / "envoy.yaml", *nobody)
    if "Permission denied" in done.stderr and str(find_envoy(None)) in done.stderr:
        pytest.skip("this installation is for its owner's eyes alone")
    assert done.returncode == 0, done.stderr


def test_addresses_and_halves_of_certificates_are_refused_by_name(tmp_path):
    for flags, name in (
        (("--edge-listen", "example.com:8443"), "edge_listen"),
        (("--edge-listen", "127.0.0.1:99999"), "edge_listen"),
        (("--edge-cert", "a.pem"), "--edge-key"),
        (("--edge-rate-limit-service", "nowhere"), "edge_rate_limit_service"),
    ):
        done = render(tmp_path, *flags)
        assert done.returncode == 2
        assert name in done.stderr
        assert "Traceback" not in done.stderr


def test_the_descriptors_are_those_of_the_contract():
    from google.protobuf.descriptor_pb2 import FileDescriptorSet  # noqa: PLC0415

    made = {file.name for file in FileDescriptorSet.FromString(descriptor_set()).file}
    kept = FileDescriptorSet.FromString((ROOT / "gen/descriptor/palaver.binpb").read_bytes())
    assert {file.name for file in kept.file} - made == set()
    assert chat_service_pb2.DESCRIPTOR.name in made
