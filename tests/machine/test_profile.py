"""The start profile, for machines that nobody has in one room."""

from __future__ import annotations

from typing import Any

import pytest

from palaver_server.machine.cards import alike, environment_for, visible, ways_to_divide
from palaver_server.machine.choosing import choose
from palaver_server.machine.fitting import _of_catalogue, given_arguments
from palaver_server.machine.gpus import Gpu
from palaver_server.machine.memory import ServedModel
from palaver_server.machine.profile import StartProfile
from palaver_server.models.catalogue import CATALOGUE
from palaver_server.models.shape import ModelShape
from palaver_server.settings import load_settings

MIB = 2**20
# Name, MiB as NVML tells them, compute capability.
CARDS = {
    "T4": ("Tesla T4", 15_360, (7, 5)),
    "A10": ("NVIDIA A10", 23_028, (8, 6)),
    "L4": ("NVIDIA L4", 23_034, (8, 9)),
    "L40S": ("NVIDIA L40S", 46_068, (8, 9)),
    "A100-40": ("NVIDIA A100-SXM4-40GB", 40_960, (8, 0)),
    "A100-80": ("NVIDIA A100-SXM4-80GB", 81_920, (8, 0)),
    "H100": ("NVIDIA H100 80GB HBM3", 81_559, (9, 0)),
    "H200": ("NVIDIA H200", 143_771, (9, 0)),
    "B200": ("NVIDIA B200", 183_359, (10, 0)),
    "V100": ("Tesla V100-SXM2-16GB", 16_384, (7, 0)),
}
MODELS = {
    "small": _of_catalogue(CATALOGUE["smollm2-135m-instruct"]),
    "air": _of_catalogue(CATALOGUE["glm-4.5-air"]),
    "air-fp8": _of_catalogue(CATALOGUE["glm-4.5-air-fp8"]),
    # Qwen2.5-7B-Instruct, as its configuration has it.
    "7b": ServedModel(
        name="7b",
        weight_bytes=15_231_233_024,
        context_length=32_768,
        shape=ModelShape(
            layers=28, attention_heads=28, kv_heads=4, head_size=128, hidden_size=3584, vocabulary_size=152_064
        ),
        quantization=None,
    ),
}


def cards(*kinds: str, free: float = 0.99) -> tuple[Gpu, ...]:
    gpus = []
    for index, kind in enumerate(kinds):
        name, mib, capability = CARDS[kind]
        gpus.append(Gpu(name, mib * MIB, int(mib * MIB * free), capability, index, f"GPU-{index:08x}"))
    return tuple(gpus)


def profile(gpus: tuple[Gpu, ...], model: str, **given: str) -> StartProfile:
    used = alike(gpus)
    return choose(used, ways_to_divide(len(used)), MODELS[model], {n.replace("_", "-"): v for n, v in given.items()})


def values(found: StartProfile) -> dict[str, Any]:
    assert all(choice.reason for choice in found.choices)
    return {choice.name: choice.value for choice in found.choices}


USUAL = {"gpu-memory-utilization": 0.92, "max-num-batched-tokens": 2048}
A100 = {"gpu-memory-utilization": 0.95, "max-num-batched-tokens": 2048}
LARGE = {"gpu-memory-utilization": 0.95, "max-num-batched-tokens": 8192}
B200 = {"gpu-memory-utilization": 0.95, "max-num-batched-tokens": 16_384}


def seqs(count: int) -> dict[str, int]:
    return {"max-num-seqs": count, "max_concurrent_requests": count}


def ways(count: int) -> dict[str, int]:
    return {"tensor-parallel-size": count}


def context(length: int) -> dict[str, int]:
    return {"max-model-len": length}


@pytest.mark.parametrize(
    ("machine", "model", "expected"),
    [
        (["T4"], "small", USUAL | {"dtype": "float16"} | seqs(256)),
        (["A10"], "small", USUAL | seqs(256)),
        (["A10"], "7b", USUAL | context(16_384) | seqs(64)),
        (["A10"] * 2, "7b", USUAL | ways(2) | seqs(256)),
        (["L4"], "7b", USUAL | context(16_384) | seqs(64)),
        (["L40S"], "7b", USUAL | seqs(256)),
        (["A100-40"], "7b", USUAL | seqs(256)),
        (["A100-80"], "7b", A100 | seqs(512)),
        (["H100"], "7b", LARGE | seqs(512)),
        (["H100"] * 2, "7b", LARGE | ways(1) | seqs(512)),
        (["H100"] * 2, "air", LARGE | ways(2) | {"quantization": "fp8"} | context(32_768) | seqs(128)),
        (["H100"] * 2, "air-fp8", LARGE | ways(2) | context(32_768) | seqs(128)),
        (["H100"] * 4, "air", LARGE | ways(4) | context(65_536) | seqs(256)),
        (["H100"] * 4, "air-fp8", LARGE | ways(4) | seqs(512)),
        (["H100"] * 8, "air", LARGE | ways(4) | context(65_536) | seqs(256)),
        (["A100-80"] * 4, "air", A100 | ways(4) | context(65_536) | seqs(256)),
        (["H200"], "air-fp8", LARGE | context(32_768) | seqs(128)),
        (["H200"], "air", LARGE | {"quantization": "fp8"} | context(16_384) | seqs(64)),
        (["B200"], "air-fp8", B200 | context(65_536) | seqs(256)),
        (["B200"] * 2, "air", B200 | ways(2) | seqs(512)),
        (["L4", "H100", "L4"], "7b", LARGE | seqs(512)),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else value if isinstance(value, str) else "",
)
def test_a_machine_and_a_model_have_their_profile(machine: list[str], model: str, expected: dict[str, Any]) -> None:
    found = profile(cards(*machine), model)
    assert (values(found), found.trouble) == (expected, "")


@pytest.mark.parametrize(
    ("machine", "model", "words"),
    [
        (["T4"], "7b", "7b needs about 18 GiB, and 15 are here"),
        (["L40S"], "air-fp8", "and 45 are here"),
        (["A100-80"] * 2, "air", "and 160 are here"),  # no FP8 in the hardware: nothing is quantised
        (["V100"], "small", "compute capability is 7.0"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_told_before_it_is_loaded(machine: list[str], model: str, words: str) -> None:
    assert words in profile(cards(*machine), model).trouble


def test_what_is_set_by_hand_stays_and_counts() -> None:
    found = profile(cards(*["H100"] * 4), "air-fp8", tensor_parallel_size="2", max_num_seqs="7", dtype="half")
    assert values(found) == LARGE | context(32_768) | {"max_concurrent_requests": 7}
    assert found.kept == ("tensor-parallel-size", "max-num-seqs")
    assert found.vllm_flags == (
        *("--gpu-memory-utilization", "0.95", "--max-num-batched-tokens", "8192", "--max-model-len", "32768"),
    )


def test_a_small_part_of_the_gpu_leaves_a_shorter_context_and_8_bits_for_it() -> None:
    found = profile(cards("L4"), "7b", gpu_memory_utilization="0.75")
    assert found.value("kv-cache-dtype") == "fp8"
    assert found.value("enforce-eager") is True
    assert "--enforce-eager" in found.vllm_flags
    assert found.value("gpu-memory-utilization") is None
    assert profile(cards("A10"), "7b", gpu_memory_utilization="0.75").value("kv-cache-dtype") is None  # has no FP8


def test_memory_that_others_hold_is_left_to_them() -> None:
    found = profile(cards("H100", free=0.5), "7b")
    assert found.value("gpu-memory-utilization") == 0.49
    (reason,) = [choice.reason for choice in found.choices if choice.name == "gpu-memory-utilization"]
    assert reason == "others hold 39.8 GiB"


def test_idle_gpus_are_told_with_what_would_use_them() -> None:
    (note,) = profile(cards(*["H100"] * 8), "air-fp8").notes
    assert note.startswith("4 of 8 GPUs stay idle: --data-parallel-size 2 runs the model once for each 4 GPUs")
    assert not profile(cards(*["H100"] * 8), "air-fp8", data_parallel_size="2").notes


def test_of_unlike_gpus_those_that_hold_most_together_are_used() -> None:
    mixed = cards("L4", "H100", "L4")
    used = alike(mixed)
    assert [gpu.index for gpu in used] == [1]
    assert environment_for(used, mixed, {}) == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1"}
    assert environment_for(used, mixed, {"CUDA_VISIBLE_DEVICES": "0,1,2"}) == {}
    assert environment_for(cards("L4"), cards("L4"), {}) == {}
    assert [gpu.index for gpu in alike(cards("L40S", "L40S", "A100-80"))] == [0, 1]


def test_gpus_that_cuda_hides_are_not_counted() -> None:
    gpus = cards("H100", "H100", "L4")
    assert visible(gpus, {}) == gpus
    assert [gpu.index for gpu in visible(gpus, {"CUDA_VISIBLE_DEVICES": "2, 0"})] == [2, 0]
    assert [gpu.index for gpu in visible(gpus, {"CUDA_VISIBLE_DEVICES": "GPU-00000001,-1,0"})] == [1]
    assert visible(gpus, {"CUDA_VISIBLE_DEVICES": ""}) == ()


def test_heads_are_never_divided_by_a_number_that_does_not_divide_them() -> None:
    assert [count for count in (1, 2, 4, 8) if MODELS["7b"].shape.can_be_divided(count)] == [1, 2, 4]
    assert [count for count in (1, 2, 4, 8) if MODELS["small"].shape.can_be_divided(count)] == [1]
    assert MODELS["air"].shape.kv_bytes_per_token() == 188_416  # as measured with vLLM


def test_what_the_operator_says_is_read_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PALAVER_MAX_CONCURRENT_REQUESTS", raising=False)
    settings = load_settings(vllm={"max_num_seqs": 8, "enforce-eager": True})
    flags = ("-tp", "4", "--dtype=half", "--no-enable-prefix-caching", "--max_model_len", "512")
    assert given_arguments(settings, flags) == {
        "max-num-seqs": "8",
        "enforce-eager": "True",
        "tensor-parallel-size": "4",
        "dtype": "half",
        "enable-prefix-caching": "false",
        "max-model-len": "512",
    }
    assert given_arguments(load_settings(max_concurrent_requests=3), ()) == {"max-concurrent-requests": "3"}
