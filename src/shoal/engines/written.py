"""An answer that is already whole, sent as a stream."""

from collections.abc import AsyncIterator

from msgspec.structs import replace

from shoal.chat import Answer, Format, Piece
from shoal.formats import AnswerAssembler, deltas_of


class WrittenStream:
    """Streams ``answer``: pieces without bytes, for the gateway to write as the caller asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._sent = AnswerAssembler()
        self._whole = False

    @property
    def format(self) -> Format | None:
        """None: its pieces hold no bytes."""
        return None

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """The steps, one by one."""
        for delta in deltas_of(self._answer):
            self._sent.add(delta)
            yield Piece(deltas=(delta,))
        self._whole = True
        yield Piece(last=True)

    @property
    def answer(self) -> Answer:
        """What has been sent so far."""
        if self._whole:
            return self._answer
        return replace(self._sent.answer(complete=False), request_id=self._answer.request_id)

    async def aclose(self) -> None:
        """Nothing is running upstream."""
