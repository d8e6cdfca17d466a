"""Where the label stands in an answer, and what was said before it came to that."""

import re

from shoal.tasks.contract import LabelContract


def place_of_label(contract: LabelContract, text: str, label: str) -> int | None:
    """At which character of an answer's text its label begins; None if it is spelt otherwise."""
    begin = _begin(contract, text)
    found = re.compile(re.escape(label), re.IGNORECASE).search(text, begin)
    return found.start() if found else None


def rationale(contract: LabelContract, text: str) -> str:
    """The reasoning before the conclusion, "" where the contract knows of none.

    >>> letters = LabelContract(("A", "B"), prefix="So the answer is ", reasoned=True)
    >>> rationale(letters, "Cats purr, and this one barks. So the answer is B.")
    'Cats purr, and this one barks.'
    """
    if not contract.reasoned:
        return ""
    return text.rpartition(contract.prefix.rstrip())[0].strip()


def _begin(contract: LabelContract, text: str) -> int:
    """Where the label may begin: behind the prefix, the last one if there is reasoning."""
    prefix = contract.prefix.rstrip()
    at = text.rfind(prefix) if contract.reasoned else text.find(prefix)
    return max(0, at) + (len(prefix) if at >= 0 else 0)
