"""A streamed answer gets back what was taken out of its request."""

from collections.abc import AsyncIterator, Iterator
from typing import Literal

from msgspec.structs import replace

from shoal.chat import Answer, AnswerStream, CallDelta, Delta, Format, Piece
from shoal.routing.privacy import Restorer, Vault

Channel = Literal["thinking", "text", "refusal", "calls"]
_CHANNELS: tuple[Channel, ...] = ("thinking", "text", "refusal", "calls")


class RestoredStream:
    """A stream with the values for its placeholders: pieces without bytes.

    A placeholder may come in parts, so a little of each text is held back, until it goes on or
    something else begins.
    """

    def __init__(self, stream: AnswerStream, vault: Vault) -> None:
        self._stream, self._vault = stream, vault
        self._texts = {name: Restorer(vault) for name in _CHANNELS}
        self._arguments: dict[int, Restorer] = {}
        self._open: Channel = "thinking"

    @property
    def format(self) -> Format | None:
        """None: its pieces hold no bytes."""
        return None

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """The pieces, with the values."""
        async for piece in self._stream:
            deltas = [new for delta in piece.deltas for new in self._restored(delta)]
            if piece.last:
                deltas += self._held()
            yield Piece(deltas=tuple(deltas), last=piece.last)

    @property
    def answer(self) -> Answer:
        """What has come so far, with the values."""
        return self._vault.restore(self._stream.answer)

    async def aclose(self) -> None:
        """Stop."""
        await self._stream.aclose()

    def _restored(self, delta: Delta) -> Iterator[Delta]:
        for channel in _CHANNELS:
            if said := getattr(delta, channel):
                if channel != self._open:
                    yield from self._held()
                    self._open = channel
                yield self._fed(channel, said)
        if delta.signature or delta.finish_reason:
            yield from self._held()
        yield replace(delta, thinking="", text="", refusal="", calls=())

    def _fed(self, channel: Channel, said: str | tuple[CallDelta, ...]) -> Delta:
        if isinstance(said, tuple):
            return Delta(calls=tuple(self._fed_call(call) for call in said))
        return _delta(channel, self._texts[channel].feed(said))

    def _fed_call(self, call: CallDelta) -> CallDelta:
        restorer = self._arguments.setdefault(call.index, Restorer(self._vault, in_json=True))
        return replace(call, arguments=restorer.feed(call.arguments))

    def _held(self) -> Iterator[Delta]:
        """What is held back of what is open."""
        if self._open != "calls":
            if text := self._texts[self._open].end():
                yield _delta(self._open, text)
            return
        for index, restorer in self._arguments.items():
            if text := restorer.end():
                yield Delta(calls=(CallDelta(index, arguments=text),))


def _delta(channel: Channel, text: str) -> Delta:
    match channel:
        case "thinking":
            return Delta(thinking=text)
        case "refusal":
            return Delta(refusal=text)
        case _:
            return Delta(text=text)
