"""One scan for every number that is known by its layout: cards, telephones, national ids.

All layouts make one pattern, a tree in which each beginning is tried once, so that a text full of
digits costs one pass and not one for each layout.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator

from msgspec import Struct

from shoal.routing.privacy.cards import is_card
from shoal.routing.privacy.identities import NATIONAL_IDS
from shoal.routing.privacy.kinds import Finding, Kind
from shoal.routing.privacy.phones import PHONE_SHAPES, is_american

_CARD_SHAPES = (
    *(f"9999{s}9999{s}9999{s}9999" for s in " -."),
    *(f"9999{s}999999{s}99999" for s in " -"),
    *(f"9999{s}999999{s}9999" for s in " -"),
    *(f"9999{s}9999{s}9999{s}9999{s}999" for s in " -"),
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
    """The same for unbroken runs of capitals and digits, by their length."""
    found: dict[int, list[Layout]] = defaultdict(list)
    for length in (14, 15, 16, 17, 18, 19):  # 13 digits are an EAN or ISBN more often
        found[length].append(Layout("card", lambda run: run.isdigit() and is_card(run)))
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
        branches.append(r"(?![\w@%]|[-./][0-9])")
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


_LAYOUT = re.compile(_tree([shape for shape in _LAYOUTS if shape[0] == "9"]))
_LETTERED = re.compile(_tree([shape for shape in _LAYOUTS if shape[0] == "X"]))
_RUN = re.compile(r"[0-9A-Z](?<![\w./+-][0-9A-Z])[0-9A-Z]{8,18}(?!\w|-\w|\.[0-9])")
_DIGIT = re.compile(r"[0-9]")


def layouts(text: str, kinds: Collection[Kind]) -> Iterator[Finding]:
    """Cards, telephone numbers and national ids whose form says what they are."""
    if not _DIGIT.search(text):
        return
    yield from _by_layout(text, kinds)
    for match in _RUN.finditer(text):
        for layout in _RUNS.get(match.end() - match.start(), ()):
            if layout.kind in kinds and _holds(layout, match[0], match[0]):
                yield Finding(layout.kind, match.start(), match.end())
                break
    if "national_id" in kinds:
        for match in _LETTERED.finditer(text):
            if any(_holds(layout, match[0], match[0]) for layout in _LAYOUTS[_shape(match[0])]):
                yield Finding("national_id", match.start(), match.end())


def _by_layout(text: str, kinds: Collection[Kind]) -> Iterator[Finding]:
    match = _LAYOUT.search(text)
    while match:
        start, end = match.span()
        written = match[0]
        compact = written.translate(_SEPARATORS)
        next_at = start + 1  # a row of figures may begin with some that do not belong
        for layout in _LAYOUTS[_shape(written)]:
            if (
                layout.kind in kinds
                and _holds(layout, compact, written)
                and not (layout.alone and _has_neighbours(text, start, end))
            ):
                yield Finding(layout.kind, start, end)
                next_at = end
                break
        match = _LAYOUT.search(text, next_at)


def _shape(written: str) -> str:
    return written.translate(_AS_SHAPE)


def _holds(layout: Layout, compact: str, written: str) -> bool:
    return bool(layout.quick(compact)) and (layout.check is None or layout.check(written))


def _has_neighbours(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return (before[-1:] == " " and before[:1].isdigit()) or (
        after[:1] == " " and after[1:].isdigit()
    )
