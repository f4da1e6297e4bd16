"""The engine and its model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ModelSettings(BaseModel):
    """What answers."""

    engine: Literal["vllm", "scripted"] = Field(
        "vllm", description="vllm runs a model; scripted repeats the last user message, without a model, for tests."
    )
    model: str = Field(
        "smollm2-135m-instruct",
        description="A name of `palaver models list`, a local folder, or any model name that vLLM takes. The default "
        "is small and needs neither GPU nor account.",
    )
    served_model_name: str | None = Field(
        None, description="The name that requests use. Default: the model's name, or the name of its folder."
    )
    start_profile: Literal["auto", "off"] = Field(
        "auto",
        description="auto fits vLLM's arguments, and how many chats run at once, to the GPUs or cores found and the "
        "model; each value stands in the log with its reason, and what is set by hand stays. off leaves all to vLLM. "
        "`palaver tune --dry-run` shows it.",
    )
    share_prefix_cache: bool = Field(
        False,
        description="Let all clients share one prefix cache. Off: who shares a cache can find out by trying what "
        "others have asked. On saves work where many clients send one long system message.",
    )
    vllm: dict[str, Any] = Field(
        default_factory=dict,
        description="vLLM's engine arguments under vLLM's names, such as max-model-len. As flags they stand as they do "
        "for `vllm serve`.",
        json_schema_extra={"flag": False},
    )
