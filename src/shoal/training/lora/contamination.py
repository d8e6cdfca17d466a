"""Examples that are also calibration examples, word for word or nearly: these must not be learned.

A certificate is worth nothing if what it was computed on had been trained on. Requests of one task
share their template, so whole texts are always alike; what many examples have in common is
therefore left out before two texts are compared by the share of word triples they have in common
(Broder 1997).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"\w+|[^\w\s]")
_COMMON = 0.3
_MANY = 10


class Calibration:
    """The calibration texts, to be compared with; ``near`` is the share of triples in common from
    which on two texts count as one."""

    def __init__(self, texts: Iterable[str], examples: Sequence[str], near: float) -> None:
        kept = [*texts]
        self._exact = {_plain(text) for text in kept}
        self._near = near
        counts = Counter(triple for text in examples for triple in _triples(text))
        most = _COMMON * len(examples) if len(examples) >= _MANY else len(examples)
        self._common = {triple for triple, count in counts.items() if count > most}
        self._triples = [_triples(text) - self._common for text in kept]
        self._with: dict[tuple[str, ...], list[int]] = {}
        for number, triples in enumerate(self._triples):
            for triple in triples:
                self._with.setdefault(triple, []).append(number)

    def has(self, text: str) -> str:
        """ "exactly", "nearly", or "" where no calibration text is like this one."""
        if _plain(text) in self._exact:
            return "exactly"
        triples = _triples(text) - self._common
        shared = Counter(number for triple in triples for number in self._with.get(triple, ()))
        for number, count in shared.items():
            if count >= self._near * (len(triples) + len(self._triples[number]) - count):
                return "nearly"
        return ""


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _triples(text: str) -> set[tuple[str, ...]]:
    words = ["", *_WORD.findall(text.casefold()), ""]
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)}
