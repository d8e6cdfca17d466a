"""Quality of search through collections, as a user has it: their reader, their cuts, their search.

    python -m benchmarks.retrieval_collections

The sets and halves of ``benchmarks.retrieval``, taken in as documents. Of XQuAD and PubMedQA a
passage is a document, and is found by its best passage. Long documents are read as Markdown, in
passages of at most 254 and 128 tokens; one is relevant if it covers more than half of a span of
evidence (the rule of ``benchmarks.retrieval``), by where its words stand in the document, white
space and the signs of headings apart. Beside the search that ships: by words alone, by meaning
alone, and both by equal reciprocal ranks. About two minutes of CPU.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.data import DATA, lines
from benchmarks.retrieval_sets import Questions, intervals, ndcg
from shoal.encoder import Encoder
from shoal.retrieval.collection import Collection
from shoal.retrieval.search import By, SearchOptions

Way = Literal["words", "meaning", "ranks", "both"]
WAYS: tuple[Way, ...] = ("words", "meaning", "ranks", "both")
FOUND = 30  # passages, of which the documents are counted
FUSED = 100  # by words, and as many by meaning, whose ranks are fused


def given(folder: Path, name: str, encoder: Encoder) -> tuple[Collection, Questions]:
    """A set whose passages are given: each is a document."""
    collection = Collection.create(folder, encoder)
    numbers = {}
    for row in lines(f"retrieval/{name}_passages.jsonl.gz"):
        document = collection.intake.add(f"{row['id']}.txt", row["text"].encode())
        numbers[row["id"]] = document.number
    rows = lines(f"retrieval/{name}_questions.jsonl.gz")
    right = [[numbers[id] for id in row["relevant"]] for row in rows]
    return collection, Questions(name, [], [row["question"] for row in rows], right)


def long_documents(folder: Path, most: int, encoder: Encoder) -> tuple[Collection, Questions]:
    """The three documents, cut as collections do; tells how many passages could be placed."""
    collection = Collection.create(folder, encoder, most)
    places: dict[str, list[tuple[int, int, int]]] = {}
    placed = total = 0
    for path in sorted((DATA / "retrieval" / "long_documents").glob("*.md")):
        text = path.read_bytes().decode()
        document = collection.intake.add(path.name, text.encode())
        passages = collection.shelf.text_of(document.number)
        bare, positions = _bare(text)
        places[path.stem] = list(_placed([(p.number, p.text) for p in passages], bare, positions))
        placed, total = placed + len(places[path.stem]), total + len(passages)
    print(f"long {most}: {placed:,} of {total:,} passages placed")
    rows = lines("retrieval/long_documents/questions.jsonl.gz")
    right = [_covering(places[row["document"]], row["spans"]) for row in rows]
    return collection, Questions(f"long {most}", [], [row["question"] for row in rows], right)


def _bare(text: str) -> tuple[str, list[int]]:
    """A text without white space, and where each character was."""
    positions = [at for at, sign in enumerate(text) if not (sign.isspace() or sign == "=")]
    return "".join(text[at] for at in positions), positions


def _placed(
    passages: list[tuple[int, str]], bare: str, positions: list[int]
) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each passage that stands in the text as it is."""
    after = 0
    for number, text in passages:
        words = re.sub(r"[\s=]+", "", text)
        at = bare.find(words, max(0, after - 2 * len(words)))  # sentences may stand in two
        if words and at >= 0:
            after = at + len(words)
            yield number, positions[at], positions[after - 1] + 1


def _covering(places: list[tuple[int, int, int]], evidence: list[list[int]]) -> list[int]:
    return [
        number
        for number, start, end in places
        if any(min(end, b) - max(start, a) > (b - a) / 2 for a, b in evidence)
    ]


def ranked(collection: Collection, question: str, way: Way, documents: bool) -> list[int]:
    """The numbers of the passages, or of the documents, that are found, best first."""

    def found(by: By, k: int) -> list[int]:
        hits = collection.search(question, SearchOptions(k=k, by=by))
        return [hit.document.number if documents else hit.passage.number for hit in hits]

    if way != "ranks":
        return list(dict.fromkeys(found(way, FOUND if documents else 10)))
    totals: dict[int, float] = {}
    for by in ("words", "meaning"):  # Cormack et al. 2009, k = 60
        for rank, number in enumerate(dict.fromkeys(found(by, FUSED)), 1):
            totals[number] = totals.get(number, 0) + 1 / (60 + rank)
    return sorted(totals, key=lambda number: -totals[number])


def scores(collection: Collection, asked: Questions, way: Way, documents: bool) -> np.ndarray:
    """nDCG@10 of each question of the half that reports; 0 where no passage covers its evidence."""
    found = []
    for question, right in zip(asked.questions, asked.relevant, strict=True):
        numbers = ranked(collection, question, way, documents)
        found.append(ndcg(numbers, right) if right else 0.0)
    return np.array(found)[asked.reported]


def main() -> None:
    """As the module says."""
    encoder = Encoder()
    results: dict[Way, list[np.ndarray]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        sets = [
            *(given(root / name, name, encoder) for name in ("xquad", "pubmedqa")),
            *(long_documents(root / f"long-{most}", most, encoder) for most in (254, 128)),
        ]
        for collection, asked in sets:
            told = []
            for way in WAYS:
                found = scores(collection, asked, way, not asked.name.startswith("long"))
                results[way].append(found)
                told.append(f"{way} {found.mean():.4f}")
            print(f"{asked.name}: {', '.join(told)} ({asked.reported.sum()} questions)")
    for way in WAYS:
        low, high = intervals(results[way], [0, 1, 2, 2])
        mean = np.mean([each.mean() for each in results[way]])
        line = f"mean, {way}: {mean:.4f} ({low:.4f} to {high:.4f})"
        if way != "both":
            gains = [a - b for a, b in zip(results["both"], results[way], strict=True)]
            low, high = intervals(gains, [0, 1, 2, 2])
            gain = np.mean([each.mean() for each in gains])
            line += f"; both has {gain:.4f} more ({low:.4f} to {high:.4f})"
        print(line)


if __name__ == "__main__":
    main()
