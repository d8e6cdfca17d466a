"""Reads a stream of server-sent events, cut anywhere, and keeps the answer so far."""

from shoal.chat import Answer, Piece
from shoal.errors import EngineError, EngineRefused, EngineUnreachable
from shoal.formats.assembler import AnswerAssembler
from shoal.formats.events import EventSplitter, begins_event, closed, data_of, is_event
from shoal.formats.wire_format import EventDecoder

_EXCERPT = 200  # bytes of what is no event, shown in the error


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
            if self._over:
                break
            try:
                pieces.append(self._take(self._read(event)))
            except EngineError as error:
                self.failure = error
        start = self._splitter.start
        if start and not self._over and begins_event(start) is False:
            self.failure = _no_event(self._splitter.rest)  # now, not when its end has come
        return pieces

    def end(self) -> list[Piece]:
        """Say that the stream has ended; returns a last piece, to be passed on.

        An answer with a finish reason is whole even if no event ends its stream. What came of an
        event that the end cut off is dropped, unless it is all there but its blank line and
        completes the answer, or is the upstream's error.
        """
        if self._over:
            return []
        pieces: list[Piece] = []
        try:
            piece = self._decoder.read(closed(self._splitter.rest))
            if piece.last or (piece.deltas and self._decoder.finished):
                pieces.append(self._take(piece))
        except EngineRefused as error:
            self.failure = error
        except EngineUnreachable:  # half an event
            pass
        self.done = self.done or (self._decoder.finished and self.failure is None)
        return pieces

    @property
    def answer(self) -> Answer:
        """What has come so far; ``complete`` once the stream has ended properly."""
        return self._assembler.answer(self.done and self.failure is None)

    @property
    def _over(self) -> bool:
        return self.done or self.failure is not None

    def _read(self, event: bytes) -> Piece:
        if begins_event(event) is False or (not data_of(event) and not is_event(event)):
            raise _no_event(event)
        return self._decoder.read(event)

    def _take(self, piece: Piece) -> Piece:
        for delta in piece.deltas:
            self._assembler.add(delta)
        self.done = piece.last
        return piece


def _no_event(sent: bytes) -> EngineUnreachable:
    start = sent[:_EXCERPT].decode(errors="replace")
    return EngineUnreachable(f"the upstream's stream holds no server-sent event: {start!r}")
