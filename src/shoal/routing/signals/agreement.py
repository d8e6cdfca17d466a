"""Agreement: how many of the witnesses say the same."""

from shoal.routing.signals.signal import Evidence
from shoal.tasks.comparators import Comparator


class Agreement:
    """The share of the witnesses whose answer is the same, 0 to 1; one that failed disagrees.

    Of cheap models that err independently, two that agree are seldom both wrong; models of one
    family share their errors, which is why the threshold is certified and not taken for granted.
    Without any witness the share is 0.
    """

    name = "agreement"

    def __init__(self, comparator: Comparator) -> None:
        self._same = comparator

    def score(self, evidence: Evidence) -> float:
        """Compare the answer with each witness's."""
        said = evidence.witnesses
        if not said:
            return 0.0
        agree = sum(one is not None and self._same(evidence.answer, one) for one in said)
        return agree / len(said)
