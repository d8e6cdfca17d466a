"""Quality of search through collections, as a user has it: their reader, their cuts, their search.

    python -m benchmarks.retrieval_collections

The sets and halves of ``benchmarks.retrieval``, taken in as documents. Of XQuAD and PubMedQA a
passage is a document, and is found by its best passage. Long documents are read as Markdown, in
passages of at most 254 and 128 tokens; one is relevant if it covers more than half of a span of
evidence, by where its words stand in the document, white space apart. About three minutes of CPU.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.data import DATA, lines
from benchmarks.retrieval_sets import Questions, intervals, ndcg
from shoal.encoder import Encoder
from shoal.retrieval.collection import Collection
from shoal.retrieval.search import By, SearchOptions

WAYS: tuple[By, ...] = ("words", "meaning", "both")
FOUND = 30  # passages, of which the documents are counted


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


def scores(collection: Collection, asked: Questions, by: By, documents: bool) -> np.ndarray:
    """nDCG@10 of each question of the half that reports; 0 where no passage covers its evidence."""
    found = []
    for question, right in zip(asked.questions, asked.relevant, strict=True):
        hits = collection.search(question, SearchOptions(k=FOUND if documents else 10, by=by))
        ranked = [h.document.number if documents else h.passage.number for h in hits]
        found.append(ndcg(list(dict.fromkeys(ranked)), right) if right else 0.0)
    return np.array(found)[asked.reported]


def main() -> None:
    """As the module says."""
    encoder = Encoder()
    results: dict[By, list[np.ndarray]] = {by: [] for by in WAYS}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        sets = [
            *(given(root / name, name, encoder) for name in ("xquad", "pubmedqa")),
            *(long_documents(root / f"long-{most}", most, encoder) for most in (254, 128)),
        ]
        for collection, asked in sets:
            told = []
            for by in WAYS:
                found = scores(collection, asked, by, not asked.name.startswith("long"))
                results[by].append(found)
                told.append(f"{by} {found.mean():.4f}")
            print(f"{asked.name}: {', '.join(told)} ({asked.reported.sum()} questions)")
    for by in WAYS:
        low, high = intervals(results[by], [0, 1, 2, 2])
        mean = np.mean([each.mean() for each in results[by]])
        print(f"mean, {by}: {mean:.4f} ({low:.4f} to {high:.4f})")


if __name__ == "__main__":
    main()
