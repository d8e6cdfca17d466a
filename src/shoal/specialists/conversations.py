"""Which examples are left out together.

Steps of one conversation repeat its words: a model that learned from one is no judge of another.
"""

from collections import Counter
from collections.abc import Sequence

from shoal.tasks.input import Input

_MOST = 0.05
"""Share of the examples above which what they begin with is a greeting, or the program's words."""
_FEW = 20


def left_out_together(inputs: Sequence[Input]) -> list[str]:
    """A name for each example (n,): those of equal names are left out together."""
    beginnings = [given.beginning for given in inputs]
    sizes = Counter(beginnings)
    most = max(_FEW, _MOST * len(inputs))
    return [
        f"conversation {begun}" if given.goes_on and sizes[begun] <= most else given.text
        for given, begun in zip(inputs, beginnings, strict=True)
    ]
