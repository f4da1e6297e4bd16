"""An error as OpenAI's clients expect it: ``{"error": {"message", "type", "param", "code"}}``.

Types and codes come from the one table (``rpc/errors.py``). https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import json

from palaver_server.core.errors import PalaverError
from palaver_server.rpc.errors import BODY_KEY, TABLE

METHODS = "/palaver.v1.OpenAIService/"
"""How the names of the methods begin whose errors take this shape."""
MAX_MESSAGE_CHARACTERS = 512
"""The document travels in a header of 4 KB, where a character may take six; a longer message helps nobody."""


def body_metadata(method: str, error: PalaverError) -> tuple[tuple[str, str], ...]:
    """What an error adds to the trailers of a call, where the method is one of OpenAI's protocol."""
    return ((BODY_KEY, error_json(error)),) if method.startswith(METHODS) else ()


def error_json(error: PalaverError) -> str:
    """The whole document as one line of ASCII, at most 4 KB."""
    statuses = TABLE[error.reason]
    message = error.message
    if len(message) > MAX_MESSAGE_CHARACTERS:
        message = f"{message[:MAX_MESSAGE_CHARACTERS]}..."
    document = {
        "error": {
            "message": message,
            "type": statuses.openai_type,
            "param": error.violations[0].field if error.violations else None,
            "code": statuses.openai_code,
        }
    }
    return json.dumps(document, separators=(",", ":"))
