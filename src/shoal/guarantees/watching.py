"""The live evidence against one certificate: on the average and, if each label is promised by
itself, on each label.

A promise for each label is many promises, so it is watched by many e-processes, and delta is spread
over them (Bonferroni): half of it in equal parts over the ``m`` labels that are served, the other
half for the average over all. Whatever comes between them, the audits of one label are independent
draws of that label's calls, so the e-process of a label whose risk is at most alpha ever reaches
``2 m / delta`` with probability ``delta / (2 m)`` at most. If the risk of all labels is, so is the
average, whose e-process then reaches ``2 / delta`` with probability ``delta / 2`` at most. In sum a
promise that is kept is taken back with probability ``delta`` at most, however long one looks.

Half for the average, because it notices a little too much everywhere long before any label shows
it. That costs each label a factor of two, about one more audit that comes out wrong.
"""

from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from shoal.guarantees.bounds import require_rate
from shoal.guarantees.sequential import EProcess


class Broken(Struct, frozen=True):
    """The evidence that broke a promise, and the part of delta it was tested at; of ``label``, or
    of the average if that is None."""

    process: EProcess
    delta: float
    label: str | None = None


class Watch(Struct, frozen=True):
    """The e-process of the ``average`` over all answers, and of each label that is promised by
    itself; ``labels`` is empty where only the average is."""

    average: EProcess
    labels: dict[str, EProcess] = {}

    @classmethod
    def start(cls, alpha: float, labels: tuple[str, ...] = ()) -> Self:
        """No audit yet.

        Raises:
            ValueError: ``alpha`` outside (0, 1).
        """
        return cls(EProcess.start(alpha), {label: EProcess.start(alpha) for label in labels})

    def update(self, wrong: bool, label: str | None = None) -> Self:
        """The evidence after one more audit, of an answer with this label.

        >>> watch = Watch.start(alpha=0.05, labels=("returns", "delivery"))
        >>> watch = watch.update(True, "returns").update(False, "delivery")
        >>> watch.average.n, watch.labels["returns"].errors, watch.labels["delivery"].n
        (2, 1, 1)
        """
        after = replace(self, average=self.average.update(wrong))
        if label is None or label not in self.labels:
            return after
        return replace(after, labels=self.labels | {label: self.labels[label].update(wrong)})

    def levels(self, delta: float) -> tuple[float, float]:
        """The parts of ``delta`` at which the average, and each label, is tested.

        Raises:
            ValueError: ``delta`` outside (0, 1).
        """
        require_rate("delta", delta)
        if not self.labels:
            return delta, delta
        return delta / 2.0, delta / (2.0 * len(self.labels))

    def broken(self, delta: float) -> Broken | None:
        """What has crossed at any time, the label with the strongest evidence before the average;
        None while the promise stands.

        Raises:
            ValueError: ``delta`` outside (0, 1).
        """
        whole, part = self.levels(delta)
        crossed = [name for name, process in self.labels.items() if process.crossed(part)]
        if crossed:
            worst = max(crossed, key=lambda name: self.labels[name].log_peak)
            return Broken(self.labels[worst], part, worst)
        return Broken(self.average, whole) if self.average.crossed(whole) else None
