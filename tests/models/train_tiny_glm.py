"""Trains the tiny GLM, saves it, and checks it: `python tests/models/train_tiny_glm.py`."""

import argparse
import asyncio
import hashlib
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two spinning threads stall each other on a busy machine

import torch
from tiny_glm_training.check import check
from tiny_glm_training.network import new_network
from tiny_glm_training.tokens import Encoder, train_tokenizer
from tiny_glm_training.training import train

SEED = 0
STEPS = 1150


def say(text: str) -> None:
    print(text, flush=True)


def build(folder: Path, steps: int) -> None:
    """Trains from nothing and writes tokenizer, configuration and bf16 weights into `folder`."""
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    tokenizer = train_tokenizer(SEED)
    network = new_network(tokenizer)
    say(f"{network.num_parameters():,} parameters, {len(tokenizer)} tokens")
    train(network, Encoder(tokenizer), seed=SEED, steps=steps, report=say)
    network.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in sorted(folder.iterdir()):
        say(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).with_name("tiny-glm"))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--check", action="store_true", help="only check the model in the folder")
    parser.add_argument("--check-vllm", choices=("bfloat16", "float32"), help="only check it inside vLLM")
    parser.add_argument("--grammar", action="store_true", help="with --check-vllm: under vLLM's grammar for tool calls")
    options = parser.parse_args()
    if options.check_vllm:
        from tiny_glm_training.vllm_check import check_in_vllm

        asyncio.run(check_in_vllm(options.folder, options.check_vllm, grammar=options.grammar))
        return
    if not options.check:
        build(options.folder, options.steps)
    check(options.folder, say)
    say("the model does everything that it is promised to do")


if __name__ == "__main__":
    main()
