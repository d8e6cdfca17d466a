"""One scan for every number that is known by its layout: cards, telephones, national ids.

All layouts make one pattern, a tree in which each beginning is tried once, so that a text full of
digits costs one pass and not one for each layout.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from itertools import count

from msgspec import Struct

from shoal.routing.privacy.cards import is_card
from shoal.routing.privacy.identities import MOST_PROOFS, NATIONAL_IDS
from shoal.routing.privacy.kinds import Finding, Kind
from shoal.routing.privacy.phones import PHONE_SHAPES, is_american

_CARD_SHAPES = (
    *(f"9999{s}9999{s}9999{s}9999" for s in " -."),
    *(f"9999{s}999999{s}99999" for s in " -"),
    *(f"9999{s}999999{s}9999" for s in " -"),
    *(f"9999{s}9999{s}9999{s}9999{s}999" for s in " -"),
    *("9" * length for length in range(14, 20)),  # 13 are an EAN or ISBN more often
)
_AS_SHAPE = str.maketrans("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "9" * 10 + "X" * 26)
_SEPARATORS = str.maketrans("", "", " .-+/")
_CLASSES = {"9": "[0-9]", "X": "[A-Z]"}


class Layout(Struct, frozen=True):
    """What a number of some shape may be; ``check`` sees it as written and ``quick`` compact.

    ``alone``: only where no other group of digits stands a blank away, because parts of a row of
    figures look like it.
    """

    kind: Kind
    quick: Callable[[str], bool]
    check: Callable[[str], bool] | None = None
    alone: bool = False


def _layouts() -> dict[str, list[Layout]]:
    found: dict[str, list[Layout]] = defaultdict(list)
    for shape in _CARD_SHAPES:
        found[shape].append(Layout("card", is_card))
    for shape in PHONE_SHAPES:
        found[shape].append(Layout("phone", is_american, alone=" " in shape))
    for number in NATIONAL_IDS:
        for shape in number.shapes:
            alone = " " in shape and "X" not in shape
            found[shape].append(Layout("national_id", number.quick, number.check, alone))
    return dict(found)


def _runs() -> dict[int, list[Layout]]:
    """Runs of capitals and digits that begin with a capital, by their length."""
    found: dict[int, list[Layout]] = defaultdict(list)
    for number in NATIONAL_IDS:
        for length in number.lengths:
            found[length].append(Layout("national_id", number.quick, number.check))
    return dict(found)


_LAYOUTS, _RUNS = _layouts(), _runs()


def _tree(shapes: Collection[str], depth: int = 0) -> str:
    """A pattern of all shapes that share their first ``depth`` characters."""
    branches = []
    for character in sorted({shape[depth] for shape in shapes if len(shape) > depth}):
        rest = [s for s in shapes if len(s) > depth and s[depth] == character]
        own = _CLASSES.get(character, re.escape(character))
        if depth == 0:  # not a part of something longer
            own += rf"(?<![\w.#$€£/+-]{own})"
        branches.append(own + _tree(rest, depth + 1))
    if any(len(shape) == depth for shape in shapes):
        branches.append(r"(?![\w@%]|[-.][0-9])")
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


_FIGURES = re.compile(_tree([shape for shape in _LAYOUTS if shape[0] == "9"]))
_LETTERED = re.compile(
    r"[A-Z](?<![\w./+-][A-Z])(?:[0-9A-Z]{8,18}(?!\w|-\w|\.[0-9])|"
    + _tree([shape for shape in _LAYOUTS if shape[0] == "X"], 1)
    + ")"
)
_DIGIT = re.compile(r"[0-9]")


def layouts(text: str, kinds: Collection[Kind]) -> Iterator[Finding]:
    """Cards, telephone numbers and national ids whose form says what they are."""
    if not _DIGIT.search(text):
        return
    proofs = count()
    yield from _figures(text, kinds, proofs)
    if "national_id" not in kinds:
        return
    for match in _LETTERED.finditer(text):
        run = match[0]
        ways = _LAYOUTS.get(_shape(run)) or _RUNS.get(len(run), [])
        if any(_holds(way, run, run, proofs) for way in ways):
            yield Finding("national_id", match.start(), match.end())


def _figures(text: str, kinds: Collection[Kind], proofs: Iterator[int]) -> Iterator[Finding]:
    match = _FIGURES.search(text)
    while match:
        start, end = match.span()
        written = match[0]
        compact = written.translate(_SEPARATORS)
        next_at = start + 1  # a row of figures may begin with some that do not belong
        for layout in _LAYOUTS[_shape(written)]:
            if (
                layout.kind in kinds
                and _holds(layout, compact, written, proofs)
                and not (layout.alone and _has_neighbours(text, start, end))
            ):
                yield Finding(layout.kind, start, end)
                next_at = end
                break
        match = _FIGURES.search(text, next_at)


def _shape(written: str) -> str:
    return written.translate(_AS_SHAPE)


def _holds(layout: Layout, compact: str, written: str, proofs: Iterator[int]) -> bool:
    if not layout.quick(compact):
        return False
    return layout.check is None or next(proofs) >= MOST_PROOFS or layout.check(written)


def _has_neighbours(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return (before[-1:] == " " and before[:1].isdigit()) or (
        after[:1] == " " and after[1:].isdigit()
    )
