"""What every kind of specialist is."""

from pathlib import Path
from typing import NamedTuple, Protocol

from msgspec import Struct

from shoal.tasks.contract import Output


class Prediction(Struct, frozen=True):
    """An output in the contract's canonical form and the signal, greater for surer.

    The signal estimates the probability of being right, 0 to 1. ``output`` None: it declines.
    """

    output: Output | None
    signal: float


class Specialist(Protocol):
    """A small model for one task: an input's text in, a prediction out. Threads may share it."""

    @property
    def kind(self) -> str:
        """ "label" or "fields"."""

    @property
    def recipe(self) -> str:
        """How it was trained."""

    def predict(self, text: str) -> Prediction:
        """Predict the output for one input."""

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into an empty folder."""


class Trained(NamedTuple):
    """A specialist, and for each example a prediction by a model that had not seen it, in order."""

    specialist: Specialist
    left_out: list[Prediction]
