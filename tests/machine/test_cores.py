"""The cores that a worker without a GPU computes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from palaver_server.machine import cores, fitting
from palaver_server.machine.cores import BINDING, binding_for, physical_cores
from palaver_server.settings import load_settings

SMOLLM2_BYTES = 269_060_552
TINY_GLM_BYTES = 4_711_912
PLAIN_PAIR = ((0,), (1,))
TINY_GLM = Path(__file__).parents[1] / "models" / "tiny-glm"


def topology(folder: Path, *siblings: str) -> Path:
    """As the kernel has it: a file for each logical core, which names those of the same physical one."""
    for number, names in enumerate(siblings):
        place = folder / f"cpu{number}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(f"{names}\n")
    return folder


def test_cores_are_physical_ones(tmp_path: Path) -> None:
    plain = topology(tmp_path / "plain", "0", "1")
    assert physical_cores(plain, {0, 1}) == [[0], [1]]
    threaded = topology(tmp_path / "threaded", "0,2", "1,3", "0,2", "1,3")
    assert physical_cores(threaded, {0, 1, 2, 3}) == [[0, 2], [1, 3]]
    assert physical_cores(threaded, {1, 3}) == [[1, 3]]  # a container may have a part of a machine
    assert physical_cores(tmp_path / "none", {4, 5}) == [[4], [5]]


@pytest.mark.parametrize(
    ("weight_bytes", "found", "environment", "binding"),
    [
        (SMOLLM2_BYTES, PLAIN_PAIR, {}, "0,1"),
        (None, PLAIN_PAIR, {}, "0,1"),  # fetched later: hardly a toy
        (TINY_GLM_BYTES, PLAIN_PAIR, {}, None),
        (SMOLLM2_BYTES, ((0,),), {}, None),
        (SMOLLM2_BYTES, ((0,), (1,), (2,)), {}, None),
        (SMOLLM2_BYTES, PLAIN_PAIR, {"VLLM_CPU_NUM_OF_RESERVED_CPU": "1"}, None),
        (SMOLLM2_BYTES, PLAIN_PAIR, {BINDING: "nobind"}, None),
        (SMOLLM2_BYTES, PLAIN_PAIR, {"VLLM_CPU_SIM_MULTI_NUMA": "1"}, None),  # vLLM refuses it beside a binding
        (SMOLLM2_BYTES, PLAIN_PAIR, {"CPU_VISIBLE_MEMORY_NODES": "1"}, None),
    ],
)
def test_two_cores_compute_both(
    weight_bytes: int | None, found: tuple[tuple[int, ...], ...], environment: Mapping[str, str], binding: str | None
) -> None:
    assert binding_for(weight_bytes, found, environment).get(BINDING) == binding


@pytest.mark.parametrize(("limit", "binding"), [(2.0, "0,1"), (1.5, None), (1.0, None)])
def test_container_must_have_the_time_of_both(limit: float, binding: str | None) -> None:
    assert binding_for(SMOLLM2_BYTES, PLAIN_PAIR, {}, limit).get(BINDING) == binding


@pytest.mark.parametrize(("machine", "binding"), [("x86_64", "2,3"), ("ppc64le", None)])
def test_threads_of_a_core_are_known_on_x86_alone(
    machine: str, binding: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert binding_for(SMOLLM2_BYTES, ((0, 2), (1, 3)), {}).get(BINDING) == binding
    assert binding_for(SMOLLM2_BYTES, PLAIN_PAIR, {}).get(BINDING) == "0,1"


@pytest.mark.parametrize(
    ("values", "arguments", "binding"),
    [
        ({}, [], "0,1"),
        ({"model": str(TINY_GLM)}, [], None),
        ({"model": "smollm2-135m-instruct"}, [], "0,1"),  # its size stands in the catalogue
        ({}, ["-tp", "2"], None),
        ({}, ["-pp", "2"], None),
        ({}, ["--data-parallel-size=2"], None),
        ({}, ["-pcp", "2"], None),
        ({"front_ends": 2}, [], None),
        ({"start_profile": "off"}, [], None),
    ],
)
def test_start_profile_has_them(
    values: dict[str, object], arguments: list[str], binding: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "physical_cores", lambda: PLAIN_PAIR)
    monkeypatch.setattr("palaver_server.machine.cgroups.processor_limit", lambda: None)
    monkeypatch.setattr(fitting, "vllm_flavour", lambda: "cpu")
    for name in cores.CHOSEN_BY:
        monkeypatch.delenv(name, raising=False)
    profile = fitting.profile_for(load_settings(**{"model": "someone/fetched-later"} | values), arguments)
    assert (None if profile is None else profile.environment.get(BINDING)) == binding
    assert profile is None or (binding is not None) == any("Both cores" in note for note in profile.notes)
