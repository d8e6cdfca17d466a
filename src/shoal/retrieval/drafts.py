"""Passages before they are final: made of atoms, so that they can still be cut."""

from collections.abc import Sequence

from msgspec import Struct

from shoal.retrieval.atoms import Atom, Count, halves
from shoal.retrieval.documents import BlockKind, Piece


class Run(Struct):
    """Neighbouring atoms of one block."""

    kind: BlockKind
    atoms: list[Atom]
    page: int = 0

    @property
    def tokens(self) -> int:
        return sum(atom.tokens for atom in self.atoms)

    @property
    def text(self) -> str:
        """Without blank lines at its ends; the first line of code keeps its indentation."""
        text = "".join(atom.text for atom in self.atoms)
        return text.strip("\n").rstrip() if self.kind == "code" else text.strip()


class Draft(Struct):
    """A passage to be: its headings, its runs, and the row that is repeated above its first."""

    path: tuple[str, ...]
    runs: list[Run]
    repeated: str = ""

    def piece(self) -> Piece:
        text = "\n\n".join(text for run in self.runs if (text := run.text).strip())
        page = self.runs[0].page if self.runs else 0
        return Piece(f"{self.repeated}\n{text}" if self.repeated else text, self.path, page)

    def halved(self) -> list["Draft"]:
        """In two parts, or, where that cannot be, without what is repeated."""
        if len(self.runs) > 1:
            middle = len(self.runs) // 2
            return [self._with(self.runs[:middle]), self._with(self.runs[middle:], "")]
        run = self.runs[0]
        atoms = run.atoms
        if len(atoms) == 1 and len(atoms[0].text) > 1:
            atoms = [Atom(text) for text in halves(atoms[0].text)]
        if len(atoms) == 1:
            return [Draft((), [run])]
        middle = len(atoms) // 2
        parts = (atoms[:middle], atoms[middle:])
        return [self._with([Run(run.kind, part, run.page)]) for part in parts]

    def _with(self, runs: list[Run], repeated: str | None = None) -> "Draft":
        return Draft(self.path, runs, self.repeated if repeated is None else repeated)


def fitted(drafts: Sequence[Draft], count: Count, most: int) -> list[Piece]:
    """The pieces, each counted as a whole; those over ``most`` tokens are halved until none is.

    Few are: the tokens of a text are those of its atoms, but for a word that was cut in two.
    """
    pieces = [(draft, draft.piece()) for draft in drafts]
    is_new = [True] * len(pieces)
    while any(is_new):
        asked = [number for number, new in enumerate(is_new) if new]
        found = count([pieces[number][1].searched for number in asked])
        long = {n for n, tokens in zip(asked, found, strict=True) if tokens > most}
        long = {n for n in long if pieces[n][0].path or len(pieces[n][1].text) > 1}
        after: list[tuple[Draft, Piece]] = []
        is_new = []
        for number, (draft, piece) in enumerate(pieces):
            parts = draft.halved() if number in long else []
            after += [(part, part.piece()) for part in parts] or [(draft, piece)]
            is_new += [True] * len(parts) or [False]
        pieces = after
    return [piece for draft, piece in pieces if any(run.text.strip() for run in draft.runs)]
