"""The turns of a conversation, of which one at a time may be under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from palaver.v1 import message_pb2
from palaver_client._messages import messages_from
from palaver_client.answer import Answer
from palaver_client.options import MessageLike, Prompt

Turn = Callable[[Answer | None], None]


class History:
    """What was said. A turn becomes part of it when it is whole, and leaves no trace when it is not."""

    def __init__(self, messages: Sequence[MessageLike], system: str | None) -> None:
        self._messages = tuple(messages_from(messages, system))
        self._is_busy = False
        self._lock = threading.RLock()  # the collector may end a dropped turn at any instruction

    @property
    def messages(self) -> tuple[message_pb2.Message, ...]:
        """All messages, oldest first."""
        return self._messages

    def begin(self, question: Prompt) -> tuple[list[message_pb2.Message], Turn]:
        """Begin a turn; give the messages to send, and what must be called once with the answer, or with None.

        Raises:
            RuntimeError: the turn before is still under way.
            TypeError, ValueError: the question is none.
        """
        asked = messages_from(question)
        with self._lock:
            if self._is_busy:
                raise RuntimeError("the turn before is still under way; one conversation has one turn at a time")
            self._is_busy = True

        def end(answer: Answer | None) -> None:
            with self._lock:
                if answer is not None:
                    self._messages = (*self._messages, *asked, answer.message)
                self._is_busy = False

        return [*self._messages, *asked], end
