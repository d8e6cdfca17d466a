"""An answer that is already whole, sent as a stream."""

import secrets
import time
from collections.abc import AsyncIterator

from shoal.chat import Answer, Request
from shoal.engines.chat_completions import StreamAssembler, asks_usage, encode_stream


class WrittenStream:
    """Streams ``answer`` as Chat Completions chunks, the usage too if the request asked for it.

    ``id`` is the completion's id ("" for a new one), ``created`` its time in seconds since 1970
    (0 for now).
    """

    def __init__(self, answer: Answer, request: Request, id: str = "", created: int = 0) -> None:
        self._answer = answer
        self._sent = StreamAssembler()
        id = id or f"chatcmpl-{secrets.token_hex(12)}"
        self._events = encode_stream(answer, id, created or int(time.time()), asks_usage(request))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The events, one by one."""
        for event in self._events:
            self._sent.feed(event)
            yield event

    @property
    def answer(self) -> Answer:
        """What has been sent so far."""
        return self._answer if self._sent.done else self._sent.answer

    async def aclose(self) -> None:
        """Nothing is running upstream."""
