"""Every peer's engine computes as palaver's does, unless told otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise

import pytest

from palaver_server.machine import cores, fitting
from palaver_server.machine.cores import BINDING, CHOSEN_BY
from tests.bench import same_engines
from tests.bench.plan import ENGINE_FLAGS, TINY_MODEL, Plan
from tests.bench.same_engines import PLUGIN, PLUGIN_FOLDER, with_same_engines

FIND_PLUGIN = """
from importlib.metadata import entry_points
(plugin,) = entry_points(group="vllm.general_plugins", name="palaver_bench")
print(plugin.load().__module__)
"""


@pytest.fixture(autouse=True)
def machine_without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "vllm_flavour", lambda: "cpu")
    monkeypatch.setattr(same_engines, "vllm_flavour", lambda: "cpu")
    monkeypatch.setattr(cores, "physical_cores", lambda: ((0,), (1,)))
    monkeypatch.setattr("palaver_server.machine.cgroups.processor_limit", lambda: None)
    for name in (*CHOSEN_BY, "PYTHONPATH", "VLLM_PLUGINS"):
        monkeypatch.delenv(name, raising=False)


def plan(*engine_flags: str, **values: str) -> Plan:
    usual = {"engine": "vllm", "model": str(TINY_MODEL), "peers": ("palaver", "raw"), "streams": (1,)}
    flags = (*ENGINE_FLAGS, *engine_flags)
    return Plan.model_validate(usual | {"rounds": 1, "minutes": 1, "tokens": 8, "engine_flags": flags} | values)


def values_of(plan: Plan, flag: str) -> list[str]:
    return [value for name, value in pairwise((*plan.engine_flags, "")) if name == flag]


def test_peers_get_what_palaver_chooses_and_nothing_that_the_run_names() -> None:
    same, _ = with_same_engines(plan())
    assert values_of(same, "--block-size") == ["32"]
    assert values_of(same, "--max-num-seqs") == ["512"]
    assert same.engine_flags.count("--enforce-eager") == 1
    assert values_of(with_same_engines(plan("--block-size", "64"))[0], "--block-size") == ["64"]


def test_the_cores_are_the_same() -> None:
    assert with_same_engines(plan(model="smollm2-135m-instruct"))[1][BINDING] == "0,1"
    assert BINDING not in with_same_engines(plan())[1]  # too small for two


def test_operators_settings_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PALAVER_START_PROFILE", "off")
    assert values_of(with_same_engines(plan())[0], "--block-size") == ["32"]


def test_vllm_finds_the_plugin_that_flushes_subnormal_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    _, environment = with_same_engines(plan())
    assert environment == {"PYTHONPATH": str(PLUGIN_FOLDER)}
    command = [sys.executable, "-c", FIND_PLUGIN]
    run = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "palaver_server.engine.vllm.processes.subnormals"
    monkeypatch.setenv("VLLM_PLUGINS", "someones")
    assert with_same_engines(plan())[1]["VLLM_PLUGINS"] == f"someones,{PLUGIN}"


@pytest.mark.parametrize("values", [{"engine": "scripted"}, {"engines": "own"}])
def test_others_are_left_alone(values: dict[str, str]) -> None:
    asked = plan(**values)
    assert with_same_engines(asked) == (asked, {})
