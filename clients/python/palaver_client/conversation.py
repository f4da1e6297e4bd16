"""Conversations that remember what was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from palaver.v1 import message_pb2
from palaver_client._history import History
from palaver_client.answer import Answer
from palaver_client.async_client import AsyncClient
from palaver_client.async_stream import AsyncStream
from palaver_client.client import Client
from palaver_client.options import ChatOptions, MessageLike, Prompt, StreamOptions
from palaver_client.stream import Stream


class _Remembering:
    """What both conversations are."""

    def __init__(self, messages: Sequence[MessageLike], system: str | None, options: ChatOptions) -> None:
        self._history = History(messages, system)
        self._options = options

    def _with(self, options: ChatOptions) -> ChatOptions:
        """The conversation's options, under those of a turn."""
        merged = self._options.copy()
        merged.update(options)
        return merged

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.messages)} messages)"

    @property
    def messages(self) -> tuple[message_pb2.Message, ...]:
        """What was said so far, oldest first. Given to a new conversation as ``messages``, it goes on from here."""
        return self._history.messages


class Conversation(_Remembering):
    """Sends what was said before along with each question.

    A turn is remembered when its answer is whole. One that fails, is closed or cancelled leaves the conversation as it
    was, so the same question can be asked again. Threads may share a conversation; a second turn while one is under way
    is refused with RuntimeError, since nobody could say what it answers.

    Args:
        client: who asks.
        system: what sets the rules; the first message.
        messages: what was said before, oldest first.
        **options: for every turn, as ``Client.chat`` takes them; a turn's own go over them.
    """

    def __init__(
        self,
        client: Client,
        *,
        system: str | None = None,
        messages: Sequence[MessageLike] = (),
        **options: Unpack[ChatOptions],
    ) -> None:
        super().__init__(messages, system, options)
        self._client = client

    def ask(self, question: Prompt, **options: Unpack[ChatOptions]) -> Answer:
        """Say something, or hand in what tools answered; wait for the whole answer.

        Raises:
            RuntimeError: the turn before is still under way.
            errors.PalaverClientError, TypeError, ValueError: as ``Client.chat``.
        """
        messages, end = self._history.begin(question)
        answer = None
        try:
            answer = self._client.chat(messages, **self._with(options))
        finally:
            end(answer)
        return answer

    def stream(self, question: Prompt, **options: Unpack[StreamOptions]) -> Stream:
        """Say something; get the answer piece by piece. The turn is under way until the stream has ended.

        Raises:
            RuntimeError, TypeError, ValueError: as ``ask``.
        """
        messages, end = self._history.begin(question)
        try:
            return self._client._stream(messages, None, self._with(options), end)  # noqa: SLF001  # one library
        except BaseException:
            end(None)
            raise


class AsyncConversation(_Remembering):
    """``Conversation`` for asyncio: the same, with an ``AsyncClient``. Tasks of one event loop may share it."""

    def __init__(
        self,
        client: AsyncClient,
        *,
        system: str | None = None,
        messages: Sequence[MessageLike] = (),
        **options: Unpack[ChatOptions],
    ) -> None:
        super().__init__(messages, system, options)
        self._client = client

    async def ask(self, question: Prompt, **options: Unpack[ChatOptions]) -> Answer:
        """Say something, or hand in what tools answered; wait for the whole answer.

        Raises:
            RuntimeError: the turn before is still under way.
            errors.PalaverClientError, TypeError, ValueError: as ``AsyncClient.chat``.
        """
        messages, end = self._history.begin(question)
        answer = None
        try:
            answer = await self._client.chat(messages, **self._with(options))
        finally:
            end(answer)
        return answer

    def stream(self, question: Prompt, **options: Unpack[StreamOptions]) -> AsyncStream:
        """Say something; get the answer piece by piece. The turn is under way until the stream has ended.

        Raises:
            RuntimeError, TypeError, ValueError: as ``ask``.
        """
        messages, end = self._history.begin(question)
        try:
            return self._client._stream(messages, None, self._with(options), end)  # noqa: SLF001  # one library
        except BaseException:
            end(None)
            raise
