from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from palaver_server.core.identity.issuing import Issued, create_key
from palaver_server.core.identity.key import Key
from palaver_server.core.identity.key_file import KeyFile

Issue = Callable[..., Issued]


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "state" / "keys.json")


@pytest.fixture
def issue(key_file: KeyFile) -> Issue:
    """Make keys in the file: ``issue("acme", tier="gold", lives=timedelta(days=1))``."""

    def issue_key(client: str = "acme", *, lives: timedelta | None = None, **fields: Any) -> Issued:
        def make(key_id, now, secret) -> Key:
            ends = None if lives is None else datetime.now(UTC) + lives
            return Key(id=key_id, client=client, created_at=now, secrets=(secret,), expires_at=ends, **fields)

        return create_key(key_file, make)

    return issue_key
