"""vLLM's own flags mean what they mean for vLLM; what is not given is set for the machine."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from palaver_server.core.engine import EngineStartError


@pytest.fixture(scope="module")
def parse(model: Path) -> Callable[[Sequence[str]], Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as at every import of vLLM
        from palaver_server.engine.vllm.arguments import parse  # noqa: PLC0415

    return lambda flags: parse(str(model), "name", flags)


def test_flags_are_read_as_vllm_reads_them(parse: Callable[[Sequence[str]], Any], model: Path) -> None:
    arguments = parse(["--max_model_len", "1k", "--max-num-seqs=7", "--hf-overrides.rope_theta", "5"])

    assert arguments.engine.model == str(model)
    assert arguments.engine.served_model_name == ["name"]
    assert arguments.engine.max_model_len == 1000
    assert arguments.engine.max_num_seqs == 7
    assert arguments.engine.hf_overrides == {"rope_theta": 5}


def test_a_machine_without_gpu_gets_defaults_that_a_flag_overrides(parse: Callable[[Sequence[str]], Any]) -> None:
    default = parse([]).engine
    chosen = parse(["--dtype", "float32", "--no-enforce-eager", "--max-num-seqs", "3", "--block-size", "64"]).engine

    assert (default.dtype, default.enforce_eager) == ("bfloat16", True)
    assert (default.max_num_seqs, default.block_size) == (64, 32)
    assert (chosen.dtype, chosen.enforce_eager) == ("float32", False)
    assert (chosen.max_num_seqs, chosen.block_size) == (3, 64)


def test_the_chat_template_is_an_argument_too(parse: Callable[[Sequence[str]], Any]) -> None:
    arguments = parse(
        ["--chat-template", "{{ messages }}", "--default-chat-template-kwargs", '{"enable_thinking": false}']
    )

    assert arguments.chat_template == "{{ messages }}"
    assert arguments.default_chat_template_kwargs == {"enable_thinking": False}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--max-model-length", "5"], "Neither palaver nor vLLM has the option --max-model-length 5;"),
        (["--max-model", "5"], "Neither palaver nor vLLM has the option --max-model 5;"),
        (["--max-num-seqs", "many"], "vLLM does not take these engine arguments: argument --max-num-seqs"),
        (["--max-num-seqs"], "vLLM does not take these engine arguments: argument --max-num-seqs: expected one"),
        (["--hf-overrides.x"], "vLLM does not take these engine arguments:"),
        (["--model=other"], "--model cannot be passed to vLLM: the model is palaver's own setting"),
        (["--served_model_name", "x"], "--served-model-name cannot be passed to vLLM:"),
        (["--config", "file.yaml"], "--config cannot be passed to vLLM: arguments for vLLM stand in the table"),
    ],
)
def test_a_wrong_flag_is_one_sentence(
    parse: Callable[[Sequence[str]], Any], flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EngineStartError) as refused:
        parse(flags)

    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)
    assert capsys.readouterr() == ("", "")


def test_importing_the_engine_does_not_import_vllm() -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    code = "import sys, palaver_server.engine.vllm.engine; print('vllm' in sys.modules, 'torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False False\n"
