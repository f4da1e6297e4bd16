"""The child process that turns a GGUF file into a folder that vLLM loads: bfloat16 safetensors, tokenizer, template.

Run as a file by `conversion.py`, not imported: transformers and torch take 5 s to import and about 1.3 GB. It
speaks one line of JSON a step on standard output, and ends at once when its standard input closes, that is, when its
parent is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

STEPS = ("Loading the converter", "Reading the tokenizer", "Reading the weights", "Writing the model")
MADE_WITH = ("transformers", "torch", "gguf", "safetensors")


def say(**message: Any) -> None:
    """One line of JSON to the parent."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def leave_with_parent() -> None:
    """Wait for the end of standard input, then end this process at once: there is nobody to work for."""
    while os.read(0, 1024):  # not sys.stdin: the interpreter cannot end while a thread holds its buffer
        pass
    os._exit(1)


def convert(gguf: Path, target: Path) -> None:
    """Write the model of the file ``gguf`` into the folder ``target``."""
    say(step=0)
    import torch  # noqa: PLC0415 - heavy, and the reason for this process
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415
    from transformers.utils.quantization_config import GgufConfig  # noqa: PLC0415

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = str(gguf.parent)
    say(step=1)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf.name)
    say(step=2)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=gguf.name,
        config=AutoConfig.from_pretrained(folder, gguf_file=gguf.name),  # given, it is not parsed a second time
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),  # plain weights, and a configuration that says so
    )
    say(step=3)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    say(made_with={name: version(name) for name in MADE_WITH})


def main() -> None:
    """Read the arguments, convert, and tell a failure in one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gguf", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    threading.Thread(target=leave_with_parent, daemon=True).start()
    try:
        convert(arguments.gguf, arguments.target)
    except ImportError as error:
        say(missing=error.name or str(error))
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - whatever a library raises becomes one line for the parent
        say(error=f"{type(error).__name__}: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
