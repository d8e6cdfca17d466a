"""Putting placeholders where values stand, in every text in which they stand."""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping

from shoal.routing.privacy.sightings import Sightings

Span = tuple[int, int]

_WORD = re.compile(r"\w+")
_LEAST = 4  # characters of a value that is sought where no detector saw it


class Substitution:
    """Replaces what ``sightings`` finds, and its values wherever else they stand as whole words:
    a number that one message calls a password is one in the next message, too."""

    def __init__(self, sightings: Sightings, placeholders: Mapping[str, str]) -> None:
        self._sightings = sightings
        self._placeholders = placeholders
        self._forms: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for value in placeholders:  # by their first word: where it begins, how long the value is
            word = _WORD.search(value) if len(value) >= _LEAST else None
            if word:
                self._forms[word[0]].add((word.start(), len(value)))

    def apply(self, place: str, text: str, key: str) -> str:
        """The text with placeholders."""
        found = [(finding.start, finding.end) for finding in self._sightings.find(text, key)]
        found = [span for span in found if text[slice(*span)] in self._placeholders]
        spans = sorted([*found, *self._elsewhere(text, found)])
        pieces, at = [], 0
        for start, end in spans:
            pieces += [text[at:start], self._placeholders[text[start:end]]]
            at = end
        return "".join([*pieces, text[at:]])

    def _elsewhere(self, text: str, found: list[Span]) -> Iterator[Span]:
        starts = [start for start, _ in found]
        taken = 0
        for word in _WORD.finditer(text):
            forms = self._forms.get(word[0])
            span = self._at(text, word.start(), forms) if forms else None
            if span is None or span[0] < taken:
                continue
            before = bisect_left(starts, span[1])
            if before == 0 or found[before - 1][1] <= span[0]:
                taken = span[1]
                yield span

    def _at(self, text: str, at: int, forms: set[Span]) -> Span | None:
        for offset, length in sorted(forms, key=lambda form: -form[1]):
            start, end = at - offset, at - offset + length
            if start >= 0 and text[start:end] in self._placeholders and _ends(text, end):
                return start, end
        return None


def _ends(text: str, end: int) -> bool:
    """Whether no word goes on there."""
    return not _WORD.match(text, end) or not _WORD.match(text, end - 1)
