"""Agreement: how many of the witnesses say the same."""

from shoal.routing.signals.signal import Evidence
from shoal.tasks.comparator import same
from shoal.tasks.contract import Contract


class Agreement:
    """The share of the witnesses whose answer is the same by the task's comparator, 0 to 1; one
    that failed disagrees.

    Of cheap models that err independently, two that agree are seldom both wrong; models of one
    family share their errors, which is why the threshold is certified and not taken for granted.
    Without any witness the share is 0.
    """

    name = "agreement"

    def __init__(self, contract: Contract) -> None:
        self._contract = contract

    def score(self, evidence: Evidence) -> float:
        """Compare the answer with each witness's."""
        said = evidence.witnesses
        if not said:
            return 0.0
        agree = [one is not None and same(self._contract, evidence.answer, one) for one in said]
        return sum(agree) / len(said)
