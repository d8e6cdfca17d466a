"""The four sets of questions that retrieval is measured on, and nDCG.

XQuAD and PubMedQA come in passages. Long documents are cut here, at 256 and at 128 tokens, headings
included: by sections, then by lines and sentences; character offsets are kept, for a passage is
relevant if it covers more than half of a span of evidence. All documents are one collection.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.data import DATA, lines
from shoal.encoder import Encoder
from shoal.retrieval.documents import Piece
from shoal.retrieval.parts import Span, cut

HEADING = re.compile(r"^ ?(=(?: =)*) (\S.*?) \1 *$", re.MULTILINE)  # of Wikitext: = = Name = =


class Questions(Struct, frozen=True):
    """A set: passages, questions, and for each question the numbers of the relevant passages."""

    name: str
    pieces: list[Piece]
    questions: list[str]
    relevant: list[list[int]]

    @property
    def reported(self) -> NDArray[np.bool_]:
        """Which questions report; the others tune. The same question is on one side everywhere."""
        return np.array([hashlib.sha256(q.encode()).digest()[0] % 2 for q in self.questions], bool)


def sets(encoder: Encoder) -> list[Questions]:
    """The four that the target is set for."""
    return [
        whole("xquad"),
        whole("pubmedqa"),
        long_documents(encoder, 256),
        long_documents(encoder, 128),
    ]


def whole(name: str) -> Questions:
    """A set whose passages are given."""
    passages = lines(f"retrieval/{name}_passages.jsonl.gz")
    number = {passage["id"]: at for at, passage in enumerate(passages)}
    rows = lines(f"retrieval/{name}_questions.jsonl.gz")
    return Questions(
        name,
        [Piece(passage["text"]) for passage in passages],
        [row["question"] for row in rows],
        [[number[id] for id in row["relevant"]] for row in rows],
    )


def long_documents(encoder: Encoder, most: int, headings: bool = True) -> Questions:
    """Three documents in passages of at most ``most`` tokens; without ``headings``, sections are
    not told from text and a passage does not know its document's title."""
    rows = lines("retrieval/long_documents/questions.jsonl.gz")
    pieces: list[Piece] = []
    held: dict[str, tuple[int, list[Span]]] = {}  # document: its first passage, spans of all
    for path in sorted((DATA / "retrieval" / "long_documents").glob("*.md")):
        text = path.read_bytes().decode()
        title = path.stem.replace("_", " ")
        found = list(_cut(text, title, encoder, most, headings))
        held[path.stem] = (len(pieces), [span for span, _ in found])
        pieces += [piece for _, piece in found]
    return Questions(
        f"long {most}" + ("" if headings else ", no headings"),
        pieces,
        [row["question"] for row in rows],
        [_covering(*held[row["document"]], row["spans"]) for row in rows],
    )


def _cut(
    text: str, title: str, encoder: Encoder, most: int, headings: bool
) -> Iterator[tuple[Span, Piece]]:
    whole = [(0, len(text), ())]
    for start, end, path in _sections(text) if headings else whole:
        above = (title, *path) if headings else ()
        room = most - (encoder.lengths(["\n".join(above)])[0] if above else 2)
        for first, last in cut(text[start:end], encoder, room):
            span = (start + first, start + last)
            yield span, Piece(text[span[0] : span[1]].strip(), above)


def _sections(text: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    path: list[str] = []
    start = 0
    for match in HEADING.finditer(text):
        yield start, match.start(), tuple(path)
        path[match[1].count("=") - 1 :] = [match[2]]
        start = match.end()
    yield start, len(text), tuple(path)


def _covering(first: int, spans: list[Span], evidence: list[list[int]]) -> list[int]:
    return [
        first + at
        for at, (start, end) in enumerate(spans)
        if any(min(end, b) - max(start, a) > (b - a) / 2 for a, b in evidence)
    ]


def ndcg(ranked: Sequence[int], relevant: Sequence[int], most: int = 10) -> float:
    """Discounted gain of the first ``most``, every relevant passage worth the same (Järvelin &
    Kekäläinen 2002), divided by that of the best order."""
    found = set(relevant)
    gain = sum(1 / np.log2(at + 2) for at, number in enumerate(ranked[:most]) if number in found)
    return float(gain / sum(1 / np.log2(at + 2) for at in range(min(most, len(found)))))


def intervals(
    scores: Sequence[NDArray[Any]], together: Sequence[int], draws: int = 5_000
) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean over sets of their mean: questions are drawn again,
    in sets of one number in ``together`` (their questions are the same) the same ones."""
    random = np.random.default_rng(0)
    means = np.zeros(draws)
    for group in set(together):
        members = np.array([s for s, g in zip(scores, together, strict=True) if g == group])
        total = members.sum(axis=0)  # (sets, questions) -> (questions,)
        for draw in range(draws):
            means[draw] += total[random.integers(0, len(total), len(total))].mean()
    low, high = np.quantile(means / len(scores), [0.025, 0.975])
    return float(low), float(high)
