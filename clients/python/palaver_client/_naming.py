"""Says which argument is to blame where a library's message does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def naming(argument: str) -> Iterator[None]:
    """Put the argument's name before the message of a TypeError or ValueError."""
    try:
        yield
    except (TypeError, AttributeError) as error:
        raise TypeError(f"{argument}: {error}") from error
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{argument}: {error}") from error
