"""Real engines for all tests of this folder that need one: starting one takes half a minute.

They end with the session. A process is made for one engine at a time: the end of either takes all processes of engines
along that this process has started.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from palaver_server.core.conversation import Message, Role, TextPart
from palaver_server.core.engine import ReportProgress
from palaver_server.core.events import Delta, Event, Finished, Started
from palaver_server.core.generation import GenerationRequest
from palaver_server.core.options import GenerationOptions
from palaver_server.engine.policy import EnginePolicy
from palaver_server.engine.vllm.engine import VllmEngine
from palaver_server.models.cache import default_cache_dir
from palaver_server.models.store import ensure
from tests.engine.living import deaths, shared

if TYPE_CHECKING:  # vLLM takes seconds to import
    from palaver_server.engine.vllm.grammar.gate import Gate

CONTEXT_LENGTH = 2048
COALESCING_SECONDS = 0.1
"""What the server has by default: the tokens of a crowd are bundled."""
TINY_GLM = Path(__file__).parents[1] / "models" / "tiny-glm"
MODEL_ID = "smollm2-135m-instruct"
_serial = itertools.count()


@pytest.fixture(scope="session")
def model() -> Path:
    """The embedded model, fetched where it is not here yet."""
    return ensure(MODEL_ID, default_cache_dir())


@asynccontextmanager
async def loaded(fixture: str, model: Path, model_id: str) -> AsyncIterator[VllmEngine]:
    """An engine in this process, from its start to its end, for the fixture of a session."""

    async def find_model(report: ReportProgress) -> str:
        return str(model)

    policy = EnginePolicy(max_coalescing_seconds=COALESCING_SECONDS)
    flags = ["--max-model-len", str(CONTEXT_LENGTH)]
    engine = VllmEngine(find_model, model_id=model_id, flags=flags, policy=policy)
    # vLLM's dependencies warn of each other while they are imported; none of it is ours to mend.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await engine.load(lambda progress: None)
    with shared(fixture, engine):
        yield engine
    await engine.shutdown()


@pytest.fixture(autouse=True)
def engines_live(request: pytest.FixtureRequest) -> Iterator[None]:
    """Say plainly that an engine is dead: before each test that needs it, and after the one in which it died."""
    if told := deaths(request.fixturenames):
        pytest.fail(told, pytrace=False)
    were_alive = not deaths()
    yield
    if were_alive and (told := deaths()):
        pytest.fail(told, pytrace=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine(model: Path) -> AsyncIterator[VllmEngine]:
    async with loaded("engine", model, MODEL_ID) as engine:
        yield engine


def say(*texts: str, streamed: bool = True, prefix: str = "", **options: Any) -> GenerationRequest:
    """A conversation of user and assistant in turn, and how to answer it."""
    roles = itertools.cycle([Role.USER, Role.ASSISTANT])
    return GenerationRequest(
        request_id=f"test-{next(_serial)}",
        model="",
        messages=tuple(Message(role, (TextPart(text),)) for role, text in zip(roles, texts, strict=False)),
        options=GenerationOptions(**options),
        is_streamed=streamed,
        field_prefix=prefix,
    )


class Answer:
    """All events of one answer."""

    def __init__(self, events: list[Event]) -> None:
        started, *deltas, finished = events
        assert isinstance(started, Started)
        assert isinstance(finished, Finished)
        self.started = started
        self.deltas = [delta for delta in deltas if isinstance(delta, Delta)]
        assert len(self.deltas) == len(deltas)
        self.finished = finished
        self.text = "".join(delta.text for delta in self.deltas)
        (self.end,) = finished.choices
        self.usage = finished.usage


async def answer(engine: VllmEngine, request: GenerationRequest) -> Answer:
    return Answer([event async for event in engine.generate(await engine.prepare(request))])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def glm() -> AsyncIterator[VllmEngine]:
    """The tiny GLM: seconds to start, real thoughts and calls."""
    async with loaded("glm", TINY_GLM, "tiny-glm") as engine:
        yield engine


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The tiny GLM's."""
    with warnings.catch_warnings():
        # vLLM's dependencies warn of each other while they are imported; none of it is ours to mend.
        warnings.simplefilter("ignore")
        from vllm.tokenizers import get_tokenizer  # noqa: PLC0415

        import palaver_server.engine.vllm.prompt.preparation  # noqa: F401, PLC0415

        return get_tokenizer(str(TINY_GLM))


@pytest.fixture(scope="session")
def marked(tokenizer: Any) -> Any:
    """The tiny GLM's vocabulary with the marks of every family of tool calls."""
    from transformers import AddedToken, AutoTokenizer  # noqa: PLC0415

    from tests.engine.families import MARKS, PLAIN_MARKS  # noqa: PLC0415

    own = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    own.add_special_tokens({"additional_special_tokens": MARKS})
    own.add_tokens([AddedToken(mark, normalized=False) for mark in PLAIN_MARKS])
    return own


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def marked_gate(marked: Any) -> AsyncIterator[Gate]:
    """A gate for forms with that vocabulary."""
    from palaver_server.engine.policy import FormLimits  # noqa: PLC0415
    from tests.engine.compiling import new_gate  # noqa: PLC0415

    gate, _ = new_gate(FormLimits(compile_seconds=20.0), marked)
    yield gate
    await gate.close()
