"""The runs of a section into passages: whole where they fit, else cut where it harms least."""

from collections.abc import Iterator, Sequence

from shoal.retrieval.atoms import Atom
from shoal.retrieval.drafts import Draft, Run


class Packer:
    """Fills passages of at most ``room`` tokens under the headings ``path``; ``joint`` tokens part
    two paragraphs, ``overlap`` are at most repeated where one is cut."""

    def __init__(self, path: tuple[str, ...], room: int, joint: int, overlap: int) -> None:
        self._path, self._room, self._joint, self._overlap = path, room, joint, overlap
        self._held: list[Run] = []
        self._tokens = 0  # of what is held

    def pack(self, runs: Sequence[Run]) -> Iterator[Draft]:
        """The passages of a section, in order."""
        for run in runs:
            tokens = run.tokens
            if self._held and self._tokens + self._joint + tokens <= self._room:
                self._hold(run, tokens)
            elif tokens <= self._room:
                yield from self._close()
                self._hold(run, tokens)
            elif run.kind == "table":
                yield from self._close()
                yield from self._table(run)
            else:
                if self._tokens > self._room // 2:
                    yield from self._close()
                yield from self._long(run, tokens)
        yield from self._close()

    def _hold(self, run: Run, tokens: int) -> None:
        self._tokens += tokens + (self._joint if self._held else 0)
        self._held.append(run)

    def _close(self) -> Iterator[Draft]:
        if self._held:
            yield Draft(self._path, self._held)
            self._held, self._tokens = [], 0

    def _long(self, run: Run, rest: int) -> Iterator[Draft]:
        """Parts of about equal length; the last one is held, for what follows to join it."""
        atoms, start = run.atoms, 0
        while start < len(atoms):
            repeated = 0 if self._held or not start else self._overlap
            held = self._tokens + (self._joint if self._held else 0)
            parts = max(1, -(-(held + rest) // (self._room - self._overlap)))
            aim = -(-(held + rest) // parts) - held
            end = _end(atoms, start, self._room - held - repeated, aim)
            if self._held and (end == start or not atoms[end - 1].good):
                yield from self._close()
                continue
            end = max(end, start + 1)
            part = Run(run.kind, atoms[self._before(run, start, end) : end], run.page)
            self._hold(part, part.tokens)
            rest -= sum(atom.tokens for atom in atoms[start:end])
            start = end
            if start < len(atoms):
                yield from self._close()

    def _before(self, run: Run, start: int, end: int) -> int:
        """Where a part begins that repeats the end of the one before: whole sentences only."""
        if run.kind != "text" or self._held:
            return start
        room = min(self._overlap, self._room - sum(atom.tokens for atom in run.atoms[start:end]))
        before = start
        while before > 0 and run.atoms[before - 1].good and run.atoms[before - 1].tokens <= room:
            before -= 1
            room -= run.atoms[before].tokens
        # What begins within a sentence is no whole one.
        while before < start and before > 0 and not run.atoms[before - 1].good:
            before += 1
        return before

    def _table(self, run: Run) -> Iterator[Draft]:
        """Rows, the first of them above each part unless it is too long for that."""
        atoms, start = run.atoms, 0
        header = atoms[0] if atoms[0].good and atoms[0].tokens <= self._room // 3 else None
        while start < len(atoms):
            is_repeated = header is not None and start > 0
            free = self._room - (header.tokens + self._joint if header and is_repeated else 0)
            end = max(_end(atoms, start, free, free), start + 1)
            part = Run("table", atoms[start:end], run.page)
            text = header.text.strip() if header and is_repeated else ""
            yield Draft(self._path, [part], text)
            start = end


def _end(atoms: Sequence[Atom], start: int, room: int, aim: int) -> int:
    """Where to cut so that what is before has ``aim`` tokens, or a few more, but not over ``room``:
    the last good place in its second half, if there is one."""
    end, tokens, good, at_good = start, 0, start, 0
    while end < len(atoms) and tokens < aim and tokens + atoms[end].tokens <= room:
        tokens += atoms[end].tokens
        end += 1
        if atoms[end - 1].good:
            good, at_good = end, tokens
    return good if 2 * at_good >= tokens and good > start else end
