"""Messages of vLLM, as it really gave them, become one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from palaver_server.core.engine import EngineStartError
from palaver_server.engine.vllm.start.errors import ChildErrors, check_model_files, explain
from palaver_server.engine.vllm.start.log_relay import ChildLine

CORE_FAILED = "Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': %d}"

NO_MEMORY = "There is not enough memory for the model m;"
MESSAGES: dict[str, str] = {
    (
        "ValueError: Available memory on node 0 (9.58/14.84 GiB) on kv cache allocation is less than "
        "requested memory for kv (512.0 GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or "
        "reduce CPU memory used by other processes."
    ): NO_MEMORY,
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 4.21 GiB.": NO_MEMORY,
    (
        "RuntimeError: [enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate "
        "memory: you tried to allocate 1 bytes. Error code 12 (Cannot allocate memory)"
    ): NO_MEMORY,
    (
        "ValueError: To serve at least one request with the models's max seq len (8192), (0.19 GiB KV cache "
        "is needed, which is larger than the available KV cache memory (0.06 GiB)."
    ): "The KV cache has no room for one conversation of the model m",
    (
        "safetensors_rust.SafetensorError: Error while deserializing header: incomplete metadata, file not "
        "fully covered"
    ): "A weight file of the model m is damaged or incomplete;",
    "RuntimeError: Cannot find any model weights with `m`": "The model m has no weight files;",
    "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder": (
        "The model m is not on this machine, and the Hugging Face Hub cannot be reached;"
    ),
}


@pytest.mark.parametrize(("message", "sentence"), MESSAGES.items(), ids=[message[:40] for message in MESSAGES])
def test_a_message_of_a_child_is_explained(message: str, sentence: str) -> None:
    error = explain(RuntimeError(CORE_FAILED % 1), [message], "m")

    assert str(error).startswith(sentence)
    assert str(error).endswith(".")


def test_a_core_that_the_kernel_killed_is_told_as_want_of_memory() -> None:
    assert "most likely because memory ran out" in str(explain(RuntimeError(CORE_FAILED % -9), [], "m"))


def test_a_core_that_ended_without_a_word_is_told_by_its_status() -> None:
    assert str(explain(RuntimeError(CORE_FAILED % 3), [], "m")) == (
        "The engine's process ended with status 3 while it started."
    )


def test_an_unknown_message_is_passed_on_in_one_line() -> None:
    error = explain(RuntimeError("vllm said\nmany\nlines"), [], "m")

    assert str(error) == "The engine could not start with the model m: RuntimeError: vllm said"


def test_a_message_of_pydantic_loses_its_wrapping() -> None:
    wrapped = (
        "1 validation error for SchedulerConfig\nmax_num_seqs\n  Value error, max_num_seqs must be positive "
        "[type=value_error, input_value=ArgsKwargs((), {...}), input_type=ArgsKwargs]\n    For further information"
    )

    assert str(explain(ValueError(wrapped), [], "m")).endswith("model m: max_num_seqs must be positive")


def test_children_that_only_blame_others_are_not_the_cause() -> None:
    errors = ChildErrors()
    errors.observe(ChildLine("WorkerProc failed to start.", "VllmWorker-0", "MemoryError: real"))
    errors.observe(ChildLine("EngineCore failed.", "EngineCore", "Exception: WorkerProc initialization failed due to"))
    errors.observe(ChildLine("just a line"))

    assert errors.causes == ["MemoryError: real"]


def test_a_sentence_that_is_one_already_stays() -> None:
    error = EngineStartError("So it is.")

    assert explain(error, ["MemoryError"], "m") is error


def test_a_name_on_the_hub_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    assert check_model_files("zai-org/GLM-4.5-Air") is False
    assert check_model_files(str(tmp_path)) is True


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()

    with pytest.raises(EngineStartError, match="is a file; --model takes the folder"):
        check_model_files(str(tmp_path / "model.gguf"))
