"""Taking documents in: passages a second and a CPU-second, and unchanged files skipped a second.

    python -m benchmarks.retrieval_ingest [--passages 1500] [--files 10000]

Documents are real: the long ones, and small text files of passages of XQuAD and of PubMedQA, about
as many passages as asked for. Everything counts, from looking for the files to vectors that can be
searched: reading, cutting, encoding, SQLite, both indexes. Unchanged files are small ones that were
taken in before with vectors that mean nothing (what an encoder makes does not matter there).
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import DATA, lines
from shoal.encoder import Encoder
from shoal.retrieval.collection import Collection

_TEXTS_A_FILE = (1, 3)  # of small files, by turns


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=1_500)
    parser.add_argument("--files", type=int, default=10_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        documents = Path(name) / "documents"
        count = write_documents(documents, asked.passages)
        print(f"{count} files, {sum(f.stat().st_size for f in documents.iterdir()):,} bytes")
        for threads in (1, 2):
            taken_in(Path(name) / f"collection-{threads}", documents, threads)
        skipped(Path(name), asked.files)


def write_documents(folder: Path, passages: int) -> int:
    """Real documents, as files; how many."""
    folder.mkdir()
    for path in sorted((DATA / "retrieval" / "long_documents").glob("*.md")):
        if path.stem != "finance":  # 700 KB; most of what is asked for, and all of one kind
            (folder / path.name).write_bytes(path.read_bytes())
    texts = [
        row["text"]
        for name in ("xquad", "pubmedqa")
        for row in lines(f"retrieval/{name}_passages.jsonl.gz")
    ]
    order = np.random.default_rng(0).permutation(len(texts))[:passages]
    at = files = 0
    while at < len(order):
        size = _TEXTS_A_FILE[files % len(_TEXTS_A_FILE)]
        several = (texts[number] for number in order[at : at + size])
        (folder / f"{files:05}.txt").write_text("\n\n".join(several), encoding="utf-8")
        at, files = at + size, files + 1
    return len(list(folder.iterdir()))


def taken_in(folder: Path, documents: Path, threads: int) -> None:
    """How fast a new collection takes the documents in."""
    encoder = Encoder(threads=threads)
    encoder.encode(["to load it"])
    collection = Collection.create(folder, encoder)
    collection.add_sources([documents])
    began, at = _cpu(), time.perf_counter()
    summary = collection.sync()
    cpu, wall = _cpu() - began, time.perf_counter() - at
    collection.search("warm")
    vectors = collection.shelf.vector_cursor().added
    collection.close()
    print(
        f"{threads} threads: {summary.passages:,} passages, {vectors:,} vectors in {wall:.1f} s, "
        f"{cpu:.1f} s CPU: {summary.passages / wall:.0f} passages a second, "
        f"{summary.passages / cpu:.0f} a CPU-second; {vectors / cpu:.0f} vectors a CPU-second"
    )


def skipped(folder: Path, count: int) -> None:
    """How fast a collection sees that nothing changed."""
    small = folder / "small"
    small.mkdir()
    for number in range(count):
        (small / f"{number:06}.txt").write_text(f"File {number} says little.", encoding="utf-8")
    collection = Collection.create(folder / "collection-small", Meaningless())
    collection.add_sources([small])
    collection.sync()
    began, at = _cpu(), time.perf_counter()
    summary = collection.sync()
    cpu, wall = _cpu() - began, time.perf_counter() - at
    collection.close()
    assert summary.unchanged == count
    print(
        f"{count:,} unchanged files in {wall:.2f} s, {cpu:.2f} s CPU: "
        f"{count / wall:,.0f} a second, {count / cpu:,.0f} a CPU-second"
    )


class Meaningless:
    """Vectors of nothing but a digest."""

    digest, dim = "meaningless", 16

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Words."""
        return [len(text.split()) for text in texts]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """As the encoder counts."""
        return [len(text.split()) + 2 for text in texts]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, 16)"""
        found = [hashlib.blake2b(text.encode(), digest_size=self.dim).digest() for text in texts]
        return np.array([[*one] for one in found], np.float32).reshape(-1, self.dim) - 128


def _cpu() -> float:
    """Of this process with its threads, and of those that ended: text and Markdown are read here,
    not in the process that reads PDF."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
