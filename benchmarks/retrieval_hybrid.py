"""A search by words and meaning at 100,000 passages, the encoding of the query included.

    python -m benchmarks.retrieval_hybrid [--passages 100000] [--cache FILE.npz]

A passage is two real texts (see ``retrieval_texts``) with the vector of each, as a passage has one
for each of its parts; twenty passages are a document. Queries are real questions, none asked twice.
One thread. Parts are timed by themselves, for the same questions; *rest* is what the whole takes
more: cosines of what only words found, fusion, texts from SQLite. Vectors are cached as
``retrieval_scale`` says.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval_scale import _DEFAULT_CACHE, real_vectors
from benchmarks.retrieval_texts import questions, texts
from shoal.encoder import Encoder
from shoal.retrieval.collection import Collection
from shoal.retrieval.documents import Piece
from shoal.retrieval.filter_text import filter_from_text
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_tables import Encoded, Written

PARTS, PASSAGES, WARM, TIMED = 2, 20, 20, 300
POOL = 50


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--cache", type=Path, default=_DEFAULT_CACHE)
    asked = parser.parse_args()
    vectors = real_vectors(asked.cache)[0]
    encoder = Encoder(threads=1)
    order = np.random.default_rng(3).permutation(len(all_questions := questions()))
    chosen = [all_questions[number] for number in order[: WARM + TIMED]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "collection"
        began = time.process_time()
        fill(folder, encoder, vectors, asked.passages)
        print(f"put on the shelf in {time.process_time() - began:.0f} s CPU")
        collection = Collection(folder, encoder)
        began = time.process_time()
        collection.follow(60)
        print(f"indexed in {time.process_time() - began:.0f} s CPU")
        size = collection.size()
        print(
            f"{size.passages:,} passages of {size.documents:,} documents, "
            f"{collection.shelf.vector_cursor().added:,} vectors; {size.bytes / 1e6:,.0f} MB"
        )
        report(collection, encoder, chosen)
        collection.close()


def fill(folder: Path, encoder: Encoder, vectors: NDArray[np.float32], count: int) -> None:
    """Put passages on a new shelf."""
    shelf, found = Shelf.create(folder, encoder.digest, encoder.dim, 200), texts()
    count = min(count, len(found) // PARTS)
    passages = [
        Encoded(Piece(" ".join(found[at : at + PARTS])), vectors[at : at + PARTS])
        for at in range(0, count * PARTS, PARTS)
    ]
    documents = [
        Written(
            name=f"{at}",
            title=f"Document {at}",
            kind="text",
            digest=b"",
            size=0,
            modified_ns=0,
            attributes={"number": float(at), "half": "even" if at % 2 else "odd"},
            passages=tuple(passages[start : start + PASSAGES]),
        )
        for at, start in enumerate(range(0, len(passages), PASSAGES))
    ]
    for start in range(0, len(documents), 500):
        shelf.put(documents[start : start + 500])
    shelf.close()


def report(collection: Collection, encoder: Encoder, chosen: list[str]) -> None:
    """Times of a search and of its parts."""
    indexes = collection._now.indexes
    encoded = dict(zip(chosen, encoder.encode(chosen), strict=True))
    few = filter_from_text(f"number < {collection.size().documents // 100}")
    half = filter_from_text('half = "even"')
    whole: dict[str, Callable[[str], object]] = {
        "search": lambda query: collection.search(query),
        "search, 1 % allowed": lambda query: collection.search(query, SearchOptions(where=few)),
        "search, 50 % allowed": lambda query: collection.search(query, SearchOptions(where=half)),
    }
    parts: dict[str, Callable[[str], object]] = {
        "encoding": lambda query: encoder.encode([query]),
        "following": lambda query: collection.follow(60),
        "vectors": lambda query: indexes.nearest(encoded[query], POOL, None),
        "words": lambda query: indexes.keywords.search(query, POOL, None),
    }
    cpu = {name: told(name, search, chosen) for name, search in (whole | parts).items()}
    rest = cpu["search"] - sum(cpu[name] for name in parts)
    print(f"rest: {rest:.2f} ms CPU")


def told(name: str, search: Callable[[str], object], chosen: list[str]) -> float:
    """Say how long one takes; the median of CPU, in ms."""
    took = []
    for query in chosen:
        began, at = time.process_time(), time.perf_counter()
        search(query)
        took.append((time.process_time() - began, time.perf_counter() - at))
    cpu, wall = np.array(took[WARM:]).T * 1e3
    print(
        f"{name}: {np.median(cpu):.2f} ms CPU (p95 {np.quantile(cpu, 0.95):.2f}), "
        f"{np.median(wall):.2f} ms wall (p95 {np.quantile(wall, 0.95):.2f})",
        flush=True,
    )
    return float(np.median(cpu))


if __name__ == "__main__":
    main()
