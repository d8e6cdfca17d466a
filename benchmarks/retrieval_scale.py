"""Vector search at 100,000 and a million: recall and CPU of a query, with filters and without.

python -m benchmarks.retrieval_scale [--rows 1000000] [--cache FILE.npz]

Rows are real texts as far as there are any (see ``retrieval_texts``); past that they are made up:
two real vectors mixed, noise added. Queries are real questions. Recall@10 is against an exact float
scan of the same rows; the plain scan is faiss's over the floats, one thread, in the same run.
Encoding the texts takes about six minutes of CPU, and is kept in ``--cache``.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval_texts import questions, texts
from shoal.encoder import Encoder
from shoal.retrieval.columns import Columns
from shoal.retrieval.filter_text import filter_from_text
from shoal.retrieval.vectors import Cursor, VectorIndex

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

K, QUERIES, TIMED = 10, 300, 60
SMALL = 100_000
_DEFAULT_CACHE = Path(tempfile.gettempdir()) / "shoal-benchmark-vectors.npz"


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--cache", type=Path, default=_DEFAULT_CACHE)
    asked = options.parse_args()
    real, queries, digest = real_vectors(asked.cache)
    chosen = np.random.default_rng(3).permutation(len(queries))[:QUERIES]
    for count in sorted({min(SMALL, asked.rows), asked.rows}):
        measure(rows_of(real, count), min(count, len(real)), queries[chosen], digest)
    columns_figures(asked.rows)


def real_vectors(cache: Path) -> tuple[Floats, Floats, str]:
    """Vectors (n, d) of real texts and (m, d) of real questions, and the encoder's digest; encoded
    once and kept in ``cache``."""
    encoder = Encoder()
    if cache.exists():
        with np.load(cache) as kept:
            if str(kept["digest"]) == encoder.digest:
                return kept["texts"], kept["questions"], encoder.digest
    found, asked = texts(), questions()
    began = time.process_time()
    vectors, queries = encoder.encode(found), encoder.encode(asked)
    print(f"{len(found) + len(asked):,} texts encoded: {time.process_time() - began:.0f} s CPU")
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(cache, texts=vectors, questions=queries, digest=np.array(encoder.digest))
    return vectors, queries, encoder.digest


def rows_of(real: Floats, count: int) -> Floats:
    """(count, d): the real ones, then made-up ones, each .6 to .95 of one real vector and the rest
    of another, with noise of a length of .15."""
    rows = np.empty((count, real.shape[1]), np.float32)
    rows[: len(real)] = real[:count]
    draw = np.random.default_rng(1)
    for start in range(len(real), count, SMALL):
        part = rows[start : start + SMALL]
        one, other = (real[draw.integers(0, len(real), len(part))] for _ in range(2))
        share = draw.uniform(0.6, 0.95, (len(part), 1)).astype(np.float32)
        noise = draw.normal(0, 0.15 / np.sqrt(real.shape[1]), part.shape)
        part[:] = share * one + (1 - share) * other + noise.astype(np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def measure(rows: Floats, real: int, queries: Floats, digest: str) -> None:
    """Build an index of ``rows`` and print a line for each filter."""
    count = len(rows)
    made = (
        f", {count - real:,} of them made up by mixing real ones" if count > real else ", all real"
    )
    print(f"\n{count:,} vectors of {rows.shape[1]}{made}; {len(queries)} real questions")
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder), rows, digest)
        opened = time.process_time()
        index = VectorIndex.open(Path(folder), rows.shape[1], digest)
        index.search(queries[0], K)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        ready = time.process_time() - opened
        print(
            f"opened and searched once in {ready:.2f} s CPU; {size / count:.0f} bytes a row on disk"
        )
        draw = np.random.default_rng(2)
        for name, allowed in (
            ("no filter", None),
            ("1 % allowed", draw.random(count) < 0.01),
            ("50 % allowed", draw.random(count) < 0.5),
            (
                "50 % allowed, in runs of 20",
                np.repeat(draw.random(count // 20 + 1) < 0.5, 20)[:count],
            ),
        ):
            found = [index.search(query, K, allowed)[0] for query in queries]
            recall = recall_of(found, rows, queries, allowed)
            plain = cpu_ms(lambda query: plain_scan(rows, query), queries[:12])
            took = cpu_ms(lambda query, mask=allowed: index.search(query, K, mask), queries[:TIMED])
            print(
                f"{name}: recall@{K} {recall:.4f}, {took:.2f} ms CPU a query, "
                f"plain float scan of all {plain:.1f}: {plain / took:.1f} times as much"
            )


def build(folder: Path, rows: Floats, digest: str) -> None:
    """Add all rows, numbered from 0, and say how fast that was."""
    began = time.process_time()
    with VectorIndex.open(folder, rows.shape[1], digest) as index:
        if not index.claim():
            raise SystemExit(f"{folder}: another process has it")
        for start in range(0, len(rows), SMALL):
            part = rows[start : start + SMALL]
            index.add(np.arange(start, start + len(part)), part)
        index.commit(Cursor(len(rows) - 1, 0))
    print(f"built at {len(rows) / (time.process_time() - began):,.0f} rows a CPU-second")


def plain_scan(rows: Floats, query: Floats) -> NDArray[np.int64]:
    """The exact nearest rows in float, best first."""
    import faiss

    faiss.omp_set_num_threads(1)
    _, found = faiss.knn(query[None], rows, K, metric=faiss.METRIC_INNER_PRODUCT)
    return np.asarray(found[0])


def recall_of(
    found: list[NDArray[np.int64]], rows: Floats, queries: Floats, allowed: Mask | None
) -> float:
    """Share of the true nearest that were found; all queries at once, block by block."""
    best = np.full((len(queries), K), -2, np.float32)
    true = np.zeros((len(queries), K), np.int64)
    for start in range(0, len(rows), SMALL // 2):
        cosine = queries @ rows[start : start + SMALL // 2].T
        if allowed is not None:
            cosine[:, ~allowed[start : start + SMALL // 2]] = -2
        top = np.argpartition(-cosine, K, axis=1)[:, :K]
        best = np.concatenate([best, np.take_along_axis(cosine, top, 1)], axis=1)
        true = np.concatenate([true, top + start], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :K]
        best, true = np.take_along_axis(best, order, 1), np.take_along_axis(true, order, 1)
    pairs = zip(found, true, strict=True)
    return float(np.mean([len(set(one.tolist()) & set(two.tolist())) / K for one, two in pairs]))


def cpu_ms(search: Callable[[Any], object], queries: Floats) -> float:
    """Median CPU of one query."""
    took = []
    for query in queries:
        began = time.process_time()
        search(query)
        took.append(time.process_time() - began)
    return float(np.median(took)) * 1e3


def columns_figures(count: int) -> None:
    """What filters cost over as many documents."""
    draw = np.random.default_rng(4)
    years, langs = draw.integers(1990, 2030, count), draw.integers(0, 3, count)
    names = ("de", "en", "fr")
    began = time.process_time()
    columns = Columns(
        (number, {"year": float(years[number]), "lang": names[langs[number]]})
        for number in range(count)
    )
    print(f"\ncolumns of {count:,} documents built in {time.process_time() - began:.1f} s CPU")
    for text in ("year >= 2020", 'lang = "en"', 'lang > "de"', 'year >= 2020 and lang = "en"'):
        filter = filter_from_text(text)
        columns.matching(filter)
        took = []
        for _ in range(20):
            began = time.process_time()
            columns.matching(filter)
            took.append(time.process_time() - began)
        print(f"{text}: {np.median(took) * 1e3:.2f} ms CPU")


if __name__ == "__main__":
    main()
