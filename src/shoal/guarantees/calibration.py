"""The examples that a certificate rests on, as points: how sure, right or wrong, and of what kind.

Kept beside the certificate, so that its curve can be drawn and its figures counted again later, by
whoever doubts them. No text of any call is in here.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from shoal.errors import LearningError
from shoal.guarantees.slices import Slice, slices_by_label, slices_by_size

_LENGTHS = ("shortest inputs", "shorter inputs", "longer inputs", "longest inputs")
_TIMES = ("oldest calls", "older calls", "newer calls", "newest calls")


class Calibration(Struct, frozen=True):
    """``n`` calibration examples, oldest first, as packed arrays (little-endian).

    ``labels`` are the names that ``label`` counts from 1, 0 being an answer without a label.
    """

    n: int
    signal: bytes  # (n,) float64
    wrong: bytes  # (n,) bits
    label: bytes  # (n,) uint16
    length: bytes  # (n,) uint32: characters of the input
    at: bytes  # (n,) float64: unix seconds
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = (len(self.signal), len(self.label), len(self.length), len(self.at))
        fits = sizes == (8 * self.n, 2 * self.n, 4 * self.n, 8 * self.n)
        if not fits or len(self.wrong) != -(-self.n // 8):
            raise ValueError(f"a calibration of {self.n} points has arrays of other lengths")

    @classmethod
    def of(
        cls,
        signals: ArrayLike,
        wrong: ArrayLike,
        labels: Sequence[str | None],
        lengths: Sequence[int],
        at: Sequence[float],
    ) -> Self:
        """From (n,) values each.

        Raises:
            LearningError: of different lengths.
        """
        s, w = np.asarray(signals, dtype="<f8"), np.asarray(wrong, dtype=bool)
        if not len(s) == len(w) == len(labels) == len(lengths) == len(at):
            raise LearningError("calibration points need a value of each kind for each example")
        names = sorted({label for label in labels if label is not None})[: 2**16 - 1]
        number = {name: index for index, name in enumerate(names, start=1)}
        return cls(
            len(s),
            s.tobytes(),
            np.packbits(w).tobytes(),
            np.array([number.get(label or "", 0) for label in labels], dtype="<u2").tobytes(),
            np.minimum(lengths, 2**32 - 1).astype("<u4").tobytes(),
            np.array(at, dtype="<f8").tobytes(),
            tuple(names),
        )

    @property
    def signals(self) -> NDArray[np.float64]:
        """(n,) how sure each answer was."""
        return np.frombuffer(self.signal, dtype="<f8").astype(np.float64)

    @property
    def errors(self) -> NDArray[np.bool_]:
        """(n,) whether each answer differed from the reference."""
        return np.unpackbits(np.frombuffer(self.wrong, np.uint8), count=self.n).astype(bool)

    @property
    def label_names(self) -> list[str]:
        """(n,) the label each answer was, "" for none."""
        names = ("", *self.labels)
        return [names[index] for index in np.frombuffer(self.label, dtype="<u2")]

    def slices(self, accepted: NDArray[np.bool_], delta: float) -> tuple[Slice, ...]:
        """The risk by label, by length of the input and by time, among the ``accepted`` (n,)."""
        wrong = self.errors
        lengths = np.frombuffer(self.length, dtype="<u4").astype(np.float64)
        times = np.argsort(np.argsort(np.frombuffer(self.at, dtype="<f8"), kind="stable"))
        return (
            *(slices_by_label(self.label_names, accepted, wrong, delta) if self.labels else ()),
            *slices_by_size("length", lengths, accepted, wrong, delta, _LENGTHS),
            *slices_by_size("time", times.astype(np.float64), accepted, wrong, delta, _TIMES),
        )
