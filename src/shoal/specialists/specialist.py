"""What every kind of specialist is."""

from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import Struct

from shoal.tasks.contract import Output
from shoal.tasks.input import Input


class Prediction(Struct, frozen=True):
    """An output in the contract's canonical form and the signal, greater for surer.

    The signal estimates the probability of being right, 0 to 1. ``output`` None: it declines.
    """

    output: Output | None
    signal: float


class Reason(Struct, frozen=True):
    """What of an input decided, and how much: greater than 0 speaks for the output, less against.

    Weights are in units of the specialist's own score, so they compare within one prediction only.
    """

    what: str
    weight: float


class Specialist(Protocol):
    """A small model for one task: an input in, a prediction out. Threads may share it."""

    @property
    def kind(self) -> str:
        """The name of its ``Kind``."""

    @property
    def recipe(self) -> str:
        """How it was trained."""

    def predict(self, given: Input) -> Prediction:
        """Predict the output for one input."""

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Which words or features decided, those with the greatest weight, either way, first."""

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into an empty folder."""


class Trained(NamedTuple):
    """A specialist, and for each example a prediction by a model that had not seen it, in order."""

    specialist: Specialist
    left_out: list[Prediction]
