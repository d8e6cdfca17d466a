"""The headings above a passage: the document's title first, none twice, and all of them short."""

from collections.abc import Sequence

from msgspec import Struct

from shoal.retrieval.atoms import Atom, Count, atoms_of, measure
from shoal.retrieval.documents import Block, Content
from shoal.retrieval.readers.text import one_line

LONGEST = 200  # characters of a heading that stand above a passage


class Section(Struct):
    """What stands under a heading, up to the next one of any level. ``path`` is what its passages
    carry, of ``tokens``; ``heading`` the whole of its own, "" above the first. ``is_told`` says
    that the path ends in it unshortened."""

    heading: str
    level: int
    path: tuple[str, ...] = ()
    tokens: int = 0
    is_told: bool = True
    blocks: list[Block] = []
    page: int = 0


def sections_of(content: Content, count: Count, most: int, overhead: int) -> list[Section]:
    """The sections of a document; their headings take at most ``most`` tokens: those in the middle
    go first, then the title, then the end of the last one."""
    sections, stacks = _parted(content)
    costs = _costs([heading for stack in stacks for heading in stack], count, overhead)
    shortened = _Shortened(count, most, overhead)
    for section, stack in zip(sections, stacks, strict=True):
        path = _fitting(stack, costs, most)
        section.path = tuple(path) or shortened.path(stack)
        section.tokens = sum(costs.get(heading, 0) for heading in path) or shortened.tokens(stack)
        if section.heading:
            section.is_told = section.heading in section.path
    return sections


def _parted(content: Content) -> tuple[list[Section], list[list[str]]]:
    """Sections, and of each the headings above it, each cut to ``LONGEST`` characters."""
    title = _short(one_line(content.title))
    sections, stacks = [Section("", 0)], [[title] if title else []]
    open_headings: list[tuple[int, str]] = []
    for block in content.blocks:
        if not block.text.strip():
            continue
        if block.kind != "heading":
            sections[-1].blocks.append(block)
            sections[-1].page = sections[-1].page or block.page
            continue
        heading, level = one_line(block.text), max(1, block.level)
        while open_headings and open_headings[-1][0] >= level:
            open_headings.pop()
        open_headings.append((level, _short(heading)))
        sections.append(Section(heading, level, page=block.page, blocks=[]))
        stacks.append(_distinct(title, [found for _, found in open_headings]))
    return sections, stacks


def _distinct(title: str, headings: list[str]) -> list[str]:
    """The title and the headings, each once; a heading that is the title is told as it is there."""
    if title and all(heading.casefold() != title.casefold() for heading in headings):
        headings = [title, *headings]
    return list(dict.fromkeys(headings))


def _costs(headings: Sequence[str], count: Count, overhead: int) -> dict[str, int]:
    atoms = [Atom(heading + "\n") for heading in dict.fromkeys(headings)]
    measure(atoms, count, overhead)
    return {atom.text[:-1]: atom.tokens for atom in atoms}


def _fitting(stack: list[str], costs: dict[str, int], most: int) -> list[str]:
    path = list(stack)
    while path and sum(costs[heading] for heading in path) > most:
        del path[1 if len(path) > 2 else 0]
    return path


class _Shortened:
    """Last headings that are too long even alone, cut to what fits."""

    def __init__(self, count: Count, most: int, overhead: int) -> None:
        self._count, self._most, self._overhead = count, most, overhead
        self._known: dict[str, Atom] = {}

    def path(self, stack: list[str]) -> tuple[str, ...]:
        atom = self._first(stack)
        return (atom.text.strip(),) if atom.text.strip() else ()

    def tokens(self, stack: list[str]) -> int:
        return self._first(stack).tokens

    def _first(self, stack: list[str]) -> Atom:
        if not stack or self._most < 4:
            return Atom("")
        last = stack[-1]
        if last not in self._known:
            (atoms,) = atoms_of([Block("heading", last)], self._count, self._most, self._overhead)
            self._known[last] = atoms[0] if atoms[0].tokens <= self._most else Atom("")
        return self._known[last]


def _short(heading: str) -> str:
    if len(heading) <= LONGEST:
        return heading
    return heading[:LONGEST].rpartition(" ")[0] or heading[:LONGEST]
