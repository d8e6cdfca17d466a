"""Reads a stream of server-sent events, cut anywhere, and keeps the answer so far."""

from contextlib import suppress

from shoal.chat import Answer, Piece
from shoal.errors import EngineError
from shoal.formats.assembler import AnswerAssembler
from shoal.formats.events import EventSplitter
from shoal.formats.wire_format import EventDecoder


class StreamReader:
    """The events of one stream, read by its format's ``decoder``.

    ``failure`` is set when the upstream sent an error, or something that does not belong into its
    stream; what comes after it is not read. ``done`` is set by the event that ends the stream.
    """

    def __init__(self, decoder: EventDecoder) -> None:
        self.failure: EngineError | None = None
        self.done = False
        self._decoder = decoder
        self._splitter = EventSplitter()
        self._assembler = AnswerAssembler()

    def feed(self, received: bytes) -> list[Piece]:
        """The pieces that these bytes complete; the one that ends the stream is the last."""
        pieces: list[Piece] = []
        for event in self._splitter.feed(received):
            if self.done or self.failure is not None:
                break
            try:
                piece = self._decoder.read(event)
            except EngineError as error:
                self.failure = error
                break
            pieces.append(self._take(piece))
        return pieces

    def end(self) -> list[Piece]:
        """Say that the stream has ended; returns the last piece if only its blank line was missing.

        Any other event that was cut short is dropped. An answer with a finish reason is whole.
        """
        if self.failure is not None or self.done:
            return []
        with suppress(EngineError):
            piece = self._decoder.read(self._splitter.rest + b"\n\n")
            if piece.last:
                return [self._take(piece)]
        self.done = self._decoder.finished
        return []

    @property
    def answer(self) -> Answer:
        """What has come so far; ``complete`` once the stream has ended properly."""
        return self._assembler.answer(self.done and self.failure is None)

    def _take(self, piece: Piece) -> Piece:
        for delta in piece.deltas:
            self._assembler.add(delta)
        self.done = piece.last
        return piece
