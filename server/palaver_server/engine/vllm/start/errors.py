"""Why an engine did not start: one sentence that names the cause and what to do, for whoever started the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from palaver_server.core.engine import EngineStartError
from palaver_server.engine.vllm.start.log_relay import ChildLine

MAX_CAUSE_CHARACTERS = 400
KILLED_STATUS = -9


class _Known(NamedTuple):
    sign: str
    """A regular expression for a message of vLLM or of one of its libraries."""
    sentence: str
    """What it means. May use ``{model}`` and, as ``{0}`` and so on, the groups of the sign."""


_NEXT_FOR_MEMORY = "take a shorter --max-model-len, a smaller model, or a machine with more memory."

_KNOWN = (
    _Known(
        r"Model architectures \[?'?([\w.]+)'?\]? (?:are not supported|failed to be inspected)",
        "vLLM does not support the architecture {0} of the model {model}; `architectures` in its config.json must name "
        "one that it supports.",
    ),
    _Known(
        r"model type `?([\w.-]+)`? but Transformers does not recognize",
        "The model {model} is of the type {0}, which the installed transformers library does not know; check "
        "`model_type` in its config.json.",
    ),
    _Known(
        r"SafetensorError|InvalidHeader|IncompleteMetadata|Error while deserializing header",
        "A weight file of the model {model} is damaged or incomplete; fetch the model again.",
    ),
    _Known(
        r"Cannot find any model weights|does not appear to have (?:a )?files? named .*(?:safetensors|bin)",
        "The model {model} has no weight files; fetch the model again.",
    ),
    _Known(
        r"Can't load tokenizer|instantiate the backend tokenizer|tokenizer\.json",
        "The model {model} has no usable tokenizer; its folder needs tokenizer.json and tokenizer_config.json.",
    ),
    _Known(
        r"couldn't connect to|Failed to resolve|Network is unreachable|LocalEntryNotFoundError|OfflineModeIsEnabled|"
        r"outgoing traffic has been disabled|ConnectError|Max retries exceeded",
        "The model {model} is not on this machine, and the Hugging Face Hub cannot be reached; fetch it where there is "
        "a network, or name a folder.",
    ),
    _Known(
        r"is not a valid model identifier|RepositoryNotFoundError|Repo id must|HFValidationError|401 Client Error",
        "There is no model {model}: neither a folder here nor a name on the Hugging Face Hub that this machine may "
        "read.",
    ),
    _Known(
        r"max_model_len \((\d+)\) is greater than the derived max_model_len \(.*?=\s*(\d+)",
        "--max-model-len {0} is more than the {1} tokens that the model {model} was made for; take less.",
    ),
    _Known(
        r"larger than the available KV cache memory|No available memory for the cache blocks",
        "The KV cache has no room for one conversation of the model {model} at its full length; take a shorter "
        "--max-model-len or a larger --kv-cache-memory-bytes.",
    ),
    _Known(
        r"out of memory|OutOfMemory|[Cc]an(?:'t|not) allocate memory|MemoryError|bad_alloc|Available memory on node|"
        r"Free memory on device",
        "There is not enough memory for the model {model}; " + _NEXT_FOR_MEMORY,
    ),
    _Known(
        r"ChatTemplateResolutionError",
        "The model {model} has no chat template, so it cannot be chatted with; give one with --chat-template FILE.",
    ),
)
"""The most telling first."""

_SAYS_NOTHING = ("Engine core initialization failed", "WorkerProc initialization failed")
"""Messages with which vLLM's processes tell only that another one failed."""


class ChildErrors:
    """Collects what went wrong in the child processes: vLLM tells the cause there alone."""

    def __init__(self) -> None:
        self._errors: list[str] = []

    def observe(self, line: ChildLine) -> None:
        """Take note of an error. From any thread."""
        if line.error is not None:
            self._errors.append(line.error)

    @property
    def causes(self) -> list[str]:
        """The errors that say something, the first first."""
        return [error for error in self._errors if not any(nothing in error for nothing in _SAYS_NOTHING)]


def check_model_files(model: str) -> bool:
    """See that a folder holds a model, before seconds are spent on importing vLLM; False if it is no folder but a name.

    Raises:
        EngineStartError: the folder does not exist or is no model's.
    """
    path = Path(model)
    if not path.exists():
        if model.startswith(("/", ".", "~")):
            raise EngineStartError(f"There is no folder {model}; --model takes a model's folder or its name.")
        return False
    if not path.is_dir():
        raise EngineStartError(f"{model} is a file; --model takes the folder that a model's files are in.")
    if not (path / "config.json").is_file() and not (path / "params.json").is_file():
        raise EngineStartError(f"The folder {model} holds no model: it has no config.json.")
    return True


def explain(error: BaseException, child_causes: list[str], model: str) -> EngineStartError:
    """Make the sentence for a failed build.

    Args:
        error: what the build raised.
        child_causes: what the child processes logged, the first cause first.
        model: what was to be loaded.
    """
    if isinstance(error, EngineStartError):
        return error
    causes = [*child_causes, *_chain(error)]
    for known in _KNOWN:
        for cause in causes:
            if found := re.search(known.sign, cause, re.DOTALL):
                return EngineStartError(known.sentence.format(*found.groups(), model=model))
    died = re.search(r"Failed core proc\(s\): \{'[^']+': (-?\d+)", str(error))
    if died and (int(died[1]) == KILLED_STATUS or not child_causes):
        return died_while_starting(int(died[1]))
    return EngineStartError(f"The engine could not start with the model {model}: {_first_sentence(causes[0])}")


def died_while_starting(status: int) -> EngineStartError:
    """Make the sentence for the end of a process without which there is no engine."""
    if status == KILLED_STATUS:
        return EngineStartError(
            "The engine's process was killed while it started, most likely because memory ran out; " + _NEXT_FOR_MEMORY
        )
    return EngineStartError(f"The engine's process ended with status {status} while it started.")


def _chain(error: BaseException | None) -> list[str]:
    texts: list[str] = []
    while error is not None:
        texts.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return texts


def _first_sentence(cause: str) -> str:
    """Take the first line that says something; pydantic puts a count and the class's name before it."""
    lines = [line.strip() for line in cause.splitlines() if line.strip()]
    if "validation error" in lines[0] and len(lines) > 1:
        told = [line for line in lines[1:] if " " in line]
        lines = told or lines
        lines[0] = re.sub(r"\s*\[type=.*$", "", lines[0]).removeprefix("Value error, ")
    return lines[0][:MAX_CAUSE_CHARACTERS]
