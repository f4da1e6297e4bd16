"""How many tokens a call took, in OpenAI's words."""

from __future__ import annotations

from typing import Any

from palaver_server.core.events import Usage


def usage_to_json(usage: Usage) -> dict[str, Any]:
    """The ``usage`` of an answer. Thoughts count as output, cached tokens as input."""
    return {
        "prompt_tokens": usage.prompt_token_count,
        "total_tokens": usage.prompt_token_count + usage.output_token_count,
        "completion_tokens": usage.output_token_count,
        "prompt_tokens_details": {"cached_tokens": usage.cached_prompt_token_count},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_token_count},
    }
