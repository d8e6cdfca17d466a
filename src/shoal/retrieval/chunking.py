"""Documents to passages: cut where their structure parts them, and none longer than a limit.

A passage is a section if that is short enough, else whole paragraphs, tables and definitions of
one, as many as fit; what is too long by itself is cut at the ends of sentences, between rows (the
first row stands above each part) or between lines. Neighbouring sections share a passage only if
both are tiny, or one is and lies within the other.
"""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from shoal.retrieval.atoms import Atom, Count, atoms_of
from shoal.retrieval.documents import Block, Content, Piece
from shoal.retrieval.drafts import Draft, Run, fitted
from shoal.retrieval.headings import Section, sections_of
from shoal.retrieval.packing import Packer


class ChunkOptions(Struct, frozen=True, kw_only=True):
    """``max_tokens`` of a passage, its headings and the marks at its ends included; where a
    paragraph is cut, whole sentences of up to ``overlap`` tokens (at most a quarter of a passage)
    stand in both passages; none by default, for with more less is found. Sections of up to
    ``tiny_tokens`` may share one."""

    max_tokens: int = 200
    overlap: int = 0
    tiny_tokens: int = 50

    def __post_init__(self) -> None:
        if self.max_tokens < 16:
            raise ValueError(f"max_tokens: expected 16 or more, found {self.max_tokens}")
        if self.overlap < 0:
            raise ValueError(f"overlap: expected 0 or more, found {self.overlap}")


def cut(content: Content, count: Count, options: ChunkOptions | None = None) -> list[Piece]:
    """The passages of a document, in order; together they hold all of its text.

    ``count`` tells how many tokens texts have (``Encoder.count_tokens``); it is asked for many at a
    time, about twice for each part of the text. Each ``searched`` of a piece has at most
    ``max_tokens`` by it, and its headings at most a third of that.
    """
    options = options or ChunkOptions()
    overhead, joint = _constants(count)
    for_headings = (options.max_tokens - overhead) // 3
    most = max(1, options.max_tokens - overhead - for_headings)
    sections = sections_of(content, count, for_headings, overhead)
    bodies = _bodies(sections, count, most, overhead)
    drafts: list[Draft] = []
    for group in _grouped(bodies, options.tiny_tokens, most, joint):
        if len(group) > 1:
            drafts.append(_together(group))
            continue
        path, runs = group[0].alone()
        room = options.max_tokens - overhead - group[0].section.tokens
        drafts += Packer(path, room, joint, min(options.overlap, room // 4)).pack(runs)
    return fitted(drafts, count, options.max_tokens)


def _constants(count: Count) -> tuple[int, int]:
    """How many tokens stand at the ends of any text, and how many part two paragraphs."""
    none, one, two = count(["", "a", "a\n\na"])
    return none, max(0, two - none - 2 * (one - none))


class _Body(Struct):
    """A section with its runs; ``head`` is its heading as text, for where it is not above."""

    section: Section
    head: Run | None
    runs: list[Run]

    @property
    def tokens(self) -> int:
        return sum(run.tokens for run in self.runs)

    def alone(self) -> tuple[tuple[str, ...], list[Run]]:
        """The headings of its passages, and what is in them."""
        path = self.section.path
        if not self.section.is_told:
            return path, self.told()
        return (path, self.runs) if self.runs else (path[:-1], self.told())

    def told(self) -> list[Run]:
        """Its runs, the heading first."""
        return [self.head, *self.runs] if self.head else self.runs


def _bodies(sections: Sequence[Section], count: Count, most: int, overhead: int) -> list[_Body]:
    blocks: list[Block] = []
    for section in sections:
        blocks.append(Block("heading", section.heading, page=section.page))
        blocks += section.blocks
    found = iter(zip(blocks, atoms_of(blocks, count, most, overhead), strict=True))
    bodies = []
    for section in sections:
        head, *runs = (_run(*next(found)) for _ in range(1 + len(section.blocks)))
        bodies.append(_Body(section, head if section.heading else None, runs))
    return bodies


def _run(block: Block, atoms: list[Atom]) -> Run:
    return Run(block.kind, atoms, block.page)


def _voids(bodies: Sequence[_Body]) -> list[bool]:
    """Which sections are nothing but a heading that stands above the next passage too."""
    voids: list[bool] = []
    after: Section | None = None  # the next that is more
    for body in reversed(bodies):
        section = body.section
        is_covered = after is not None and (
            section.level < after.level and section.heading in after.path
        )
        is_void = not body.runs and section.is_told and (is_covered or not section.heading)
        after = after if is_void else section
        voids.append(is_void)
    return voids[::-1]


def _grouped(bodies: Sequence[_Body], tiny: int, most: int, joint: int) -> Iterator[list[_Body]]:
    """Sections that share a passage."""
    group: list[_Body] = []
    total = 0
    for body, is_void in zip(bodies, _voids(bodies), strict=True):
        size = body.tokens + joint * len(body.runs) + (body.head.tokens if body.head else 0)
        fits = not is_void and size + total + joint <= most
        if group and fits and _go_together(group, body, total, size, tiny):
            group.append(body)
            total += size + joint
            continue
        if group:
            yield group
        group, total = ([], 0) if is_void else ([body], size)
    if group:
        yield group


def _go_together(group: list[_Body], body: _Body, total: int, size: int, tiny: int) -> bool:
    first, last, section = group[0].section, group[-1].section, body.section
    if section.level > last.level and (total <= tiny or size <= tiny):
        return True
    above = first.path[:-1]
    is_beside = section.level >= first.level and section.path[: len(above)] == above
    return is_beside and total <= tiny and size <= tiny


def _together(group: list[_Body]) -> Draft:
    """One passage of several sections, under the headings that all of them have."""
    first, rest = group[0], group[1:]
    path = first.section.path
    is_above = first.section.is_told and all(
        body.section.level > first.section.level for body in rest
    )
    if not is_above:
        path = path[: _shared([body.section.path for body in group])]
    runs = [*(first.runs if is_above else first.told())]
    for body in rest:
        runs += body.told()
    return Draft(path, runs)


def _shared(paths: list[tuple[str, ...]]) -> int:
    """How many headings all paths begin with, their own (the last) left out."""
    shared = 0
    for headings in zip(*(path[:-1] for path in paths), strict=False):
        if len(set(headings)) > 1:
            break
        shared += 1
    return shared
