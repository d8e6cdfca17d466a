"""What every signal is."""

from typing import Protocol

from msgspec import Struct

from shoal.chat import Answer, Request


class Evidence(Struct, frozen=True):
    """What a signal may look at. ``witnesses`` are other answers to the same request, in the order
    in which the rung names those who gave them; None where one failed."""

    request: Request
    answer: Answer
    witnesses: tuple[Answer | None, ...] = ()


class Signal(Protocol):
    """A number for a request and an answer, the higher the surer. Threads may share it."""

    @property
    def name(self) -> str:
        """What it is, in few words, as receipts say it."""

    def score(self, evidence: Evidence) -> float:
        """The number; -inf if the answer must not be accepted, whatever the threshold."""
