"""An error as OpenAI's clients expect it: ``{"error": {"message", "type", "param", "code"}}``.

Types and codes come from the one table (``rpc/errors.py``). https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

import json

from palaver_server.core.errors import PalaverError, cut_to_bytes
from palaver_server.rpc.errors import BODY_KEY, TABLE, told_field

METHODS = "/palaver.v1.OpenAIService/"
"""How the names of the methods begin whose errors take this shape."""
MAX_DOCUMENT_BYTES = 4096
"""The document travels in a header of so much, where a character may take twelve bytes."""
MAX_PARAM_BYTES = 256


def body_metadata(method: str, error: PalaverError) -> tuple[tuple[str, str], ...]:
    """What an error adds to the trailers of a call, where the method is one of OpenAI's protocol."""
    return ((BODY_KEY, error_json(error)),) if method.startswith(METHODS) else ()


def error_json(error: PalaverError) -> str:
    """The whole document as one line of ASCII, at most 4 KB."""
    message = error.message
    while len(document := _document(error, message)) > MAX_DOCUMENT_BYTES:
        message = cut_to_bytes(message, len(message.encode()) // 2)
    return document


def _document(error: PalaverError, message: str) -> str:
    statuses = TABLE[error.reason]
    document = {
        "error": {
            "message": message,
            "type": statuses.openai_type,
            "param": cut_to_bytes(told_field(error.violations[0]), MAX_PARAM_BYTES) if error.violations else None,
            "code": statuses.openai_code,
        }
    }
    return json.dumps(document, separators=(",", ":"))
