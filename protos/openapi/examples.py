"""Examples that stand in the document; a test calls a server with the requests among them."""

from __future__ import annotations

import json
from typing import Any

_EVENTS = (
    {"started": {"id": "chat-5f1c", "model": "smollm2-135m-instruct", "prompt_token_count": 37}},
    {"delta": {"text": "Paris"}},
    {"delta": {"sequence_number": 1, "text": "."}},
    {"finished": {"choices": [{"finish_reason": "FINISH_REASON_STOP"}], "usage": {"output_token_count": 3}}},
)
EXAMPLES: dict[str, Any] = {
    "palaver.v1.ChatRequest": {
        "messages": [{"role": "ROLE_USER", "content": [{"text": "What is the capital of France?"}]}],
        "options": {"max_output_tokens": 64, "temperature": 0},
    },
    "palaver.v1.StreamChatResponse": "".join(f"data: {json.dumps(event)}\n\n" for event in _EVENTS),
}
