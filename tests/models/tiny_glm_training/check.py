"""The self-check: asks the saved model everything that it is promised to answer, and fails loudly."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Glm4MoeForCausalLM, PreTrainedTokenizerFast

from tiny_glm_training import lessons, tools
from tiny_glm_training.cases import CASES, TOOLS, Case
from tiny_glm_training.lessons import Context, Lesson, trap
from tiny_glm_training.rows import Thinking, exchange, opening
from tiny_glm_training.template import ADDED, SPECIAL, STOPS, USER
from tiny_glm_training.tokens import Encoder

SURE: Final = 0.6
"""The least probability of a written token: below it, another batch or type could turn the choice."""

EXACT: Final = 0.97
"""The share of a promised lesson's random turns that must come out exactly."""

PROMISED: Final = frozenset({"greeting", "chinese", "introduction", "recall", "weather", "note", "teleport"})
"""The lessons that a model of this size learns to the end, whatever words they are asked with. The others it learns in
part: of those, only the cases in ``cases.py`` are promised."""


class CheckFailed(Exception):
    """The saved model does not do what it is promised to do."""


@dataclass(frozen=True)
class Written:
    """What the model wrote, the token that it stopped at ("" when it was cut), and its least sure choice."""

    text: str
    stop: str
    least_sure: float


class Model:
    """A saved model in one number type."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(folder)
        self.network: Glm4MoeForCausalLM = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.network.eval()

    @torch.inference_mode()
    def write(self, case: Case) -> Written:
        """Greedy decoding, until the model stops or has written a little more than it is promised to."""
        prompt = self.tokenizer.apply_chat_template(
            list(case.messages),
            tools=TOOLS if case.tools else None,
            add_generation_prompt=True,
            enable_thinking=case.thinking,
            return_tensors="pt",
            return_dict=True,
        )
        length = len(self.tokenizer(case.written).input_ids)
        result = self.network.generate(
            **prompt,
            do_sample=False,
            max_new_tokens=length + 8 if case.stop else length,
            output_scores=True,
            return_dict_in_generate=True,
        )
        ids = result.sequences[0, prompt["input_ids"].shape[1] :].tolist()
        chances = [float(scores[0].softmax(-1).max()) for scores in result.scores]
        stop = self.tokenizer.convert_ids_to_tokens(ids[-1])
        ended = stop in STOPS
        text = self.tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=False)
        return Written(text, stop if ended else "", min(chances))

    @torch.inference_mode()
    def exact(self, ids: list[int], labels: list[int]) -> bool:
        """Whether greedy decoding would write every learned token of the row."""
        chosen = self.network(torch.tensor([ids])).logits[0, :-1].argmax(-1)
        wanted = torch.tensor(labels[1:])
        learned = wanted != -100
        return bool((chosen[learned] == wanted[learned]).all())


def check_tokenizer(model: Model) -> Iterator[str]:
    """What the parsers and the streams rely on."""
    tokenizer = model.tokenizer
    for token in SPECIAL + ADDED:
        if len(tokenizer(token).input_ids) != 1:
            yield f"{token} is not one token"
        if (token in tokenizer.all_special_tokens) != (token in SPECIAL):
            yield f"{token} is special where it must not be, or the other way round"
    split = [tokenizer.decode([token]) for token in tokenizer("早🎉").input_ids]
    if not any("\ufffd" in piece for piece in split):
        yield "no character takes several tokens"
    for text in ("naïve café\n\n  déjà", "从前 🎉👩‍🚀", '{"a": [1, 2.5e3]}\t\r\n'):
        if tokenizer.decode(tokenizer(text).input_ids) != text:
            yield f"{text!r} does not survive the tokenizer"


def check_cases(model: Model, report: Callable[[str], None]) -> Iterator[str]:
    """Every promised answer, word for word."""
    least = 1.0
    for case in CASES:
        got = model.write(case)
        if (got.text, got.stop) != (case.written, case.stop):
            yield f"{case.name}: wrote {got.text!r} and {got.stop!r} instead of {case.written!r} and {case.stop!r}"
        elif got.least_sure < SURE and "likely" not in case.name:
            yield f"{case.name}: one token had a probability of only {got.least_sure:.2f}"
        least = min(least, got.least_sure)
    report(f"{len(CASES)} cases, least probability of a token {least:.2f}")


def check_lessons(model: Model, report: Callable[[str], None], turns: int = 60) -> Iterator[str]:
    """Random turns of each lesson, alone and after others, that the training has not seen in this order."""
    encoder = Encoder(model.tokenizer)
    rng = random.Random("check")
    shares = []
    for lesson in lessons.LESSONS | tools.LESSONS:
        if lesson in (trap, lessons.choice):  # without end, and left to chance
            continue
        right = sum(model.exact(*encoder.row(single(lesson, rng))) for _ in range(turns))
        shares.append(f"{lesson.__name__} {right / turns:.0%}")
        if lesson.__name__ in PROMISED and right / turns < EXACT:
            yield f"{lesson.__name__}: only {right} of {turns} random turns are exact"
    report(", ".join(shares))


def single(lesson: Lesson, rng: random.Random) -> list[tuple[str, bool]]:
    """One turn of a lesson in a random setting."""
    context = Context(has_tools=lesson in tools.LESSONS and rng.random() < 0.9)
    start = opening(rng, context) + USER
    thinking = rng.choice(list(Thinking))
    return [(start, False), *exchange(lesson(rng, context), thinking, rng, last=True, rewritten=False)]


def check(folder: Path, report: Callable[[str], None] = print) -> None:
    """Checks the model in `folder` in both number types. Raises CheckFailed with all that is wrong."""
    wrong: list[str] = []
    for dtype in (torch.bfloat16, torch.float32):
        report(f"checking in {dtype} ...")
        model = Model(folder, dtype)
        wrong += check_tokenizer(model)
        wrong += check_cases(model, report)
        wrong += check_lessons(model, report)
    if wrong:
        raise CheckFailed("\n".join(wrong))
