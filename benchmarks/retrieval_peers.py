"""Shoal's vectors against other embedded stores, in one run: 100,000 real vectors of 384.

    python -m benchmarks.retrieval_peers [--rows 100000] [--peers lancedb,chromadb] [--cache FILE]

Each store is made in one process, and opened, asked and changed in a new one. CPU is of the whole
process with all its threads, which are kept to one where that can be said. *Open*: to the end of
the first search, without imports. *Upsert*: 1,000 rows replaced, until they are found. Recall@10 is
against an exact float scan. Figures in brackets are how many times Shoal's.

Peers: lancedb 0.40.0, chromadb 1.5.9, sqlite-vec 0.1.9 (apsw 3.54.1.0), objectbox 5.0.0,
qdrant-client 1.20.0 (local mode), qdrant-edge-py 0.9.0; see ``retrieval_peer_stores`` for how they
are set.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval_peer_stores import BUCKETS, STORES

K, RECALLED, TIMED, REPLACED = 10, 100, 50, 1_000
LIMITS: tuple[int | None, ...] = (None, BUCKETS // 100, BUCKETS // 2)
_ONE_THREAD = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"),
    *("TOKIO_WORKER_THREADS", "LANCE_CPU_THREADS"),
)
_MOST_S = 1_500  # for one store

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--peers", default=",".join(STORES))
    parser.add_argument("--cache", type=Path, default=None)
    parser.add_argument("--child", nargs=3, metavar=("STEP", "STORE", "FOLDER"))
    asked = parser.parse_args()
    if asked.child:
        step, store, folder = asked.child
        {"make": make, "ask": ask}[step](store, Path(folder))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, asked.rows, asked.cache)
        true = [truth(folder, limit) for limit in LIMITS]
        print(f"{asked.rows:,} rows; CPU ms a query and recall@{K}: without filter, 1 %, 50 %")
        ours: dict[str, Any] = {}
        for store in dict.fromkeys(["shoal", *asked.peers.split(",")]):
            try:
                found = measure(store, folder, true)
            except subprocess.SubprocessError as error:
                said = (getattr(error, "stderr", "") or "")[-500:]
                print(f"{store}: failed: {error}\n{said}", flush=True)
                continue
            ours = ours or found
            tell(store, found, ours)


def prepare(folder: Path, count: int, cache: Path | None) -> None:
    """Write what all stores get."""
    from benchmarks.retrieval_scale import _DEFAULT_CACHE, real_vectors, rows_of

    real, questions, _ = real_vectors(cache or _DEFAULT_CACHE)
    draw = np.random.default_rng(3)
    chosen = draw.permutation(len(questions))[:RECALLED]
    np.save(folder / "rows.npy", rows_of(real, count + REPLACED))
    np.save(folder / "queries.npy", questions[chosen])
    np.save(folder / "buckets.npy", draw.integers(0, BUCKETS, count))


def loaded(folder: Path) -> tuple[Floats, Floats, Numbers]:
    """Rows, with some more to replace others by; queries; buckets."""
    rows, queries, buckets = (np.load(folder / f"{n}.npy") for n in ("rows", "queries", "buckets"))
    return rows, queries, buckets


def truth(folder: Path, limit: int | None) -> list[set[int]]:
    """The numbers of the nearest rows of each query, by an exact scan."""
    rows, queries, buckets = loaded(folder)
    cosines = queries @ rows[: len(buckets)].T  # (queries, rows)
    if limit is not None:
        cosines[:, buckets >= limit] = -2
    return [set((np.argpartition(-row, K)[:K] + 1).tolist()) for row in cosines]


def measure(store: str, folder: Path, true: list[list[set[int]]]) -> dict[str, Any]:
    """The figures of one store."""
    figures: dict[str, Any] = {}
    place = folder / store
    place.mkdir()
    for step in ("make", "ask"):
        command = [sys.executable, "-m", "benchmarks.retrieval_peers", "--child"]
        done = subprocess.run(
            [*command, step, store, str(place)],
            env=os.environ | dict.fromkeys(_ONE_THREAD, "1"),
            capture_output=True,
            text=True,
            check=True,
            timeout=_MOST_S,
        )
        figures |= json.loads(done.stdout.splitlines()[-1])
    found = figures.pop("found")
    figures["recall"] = [
        float(np.mean([len(set(one) & two) / K for one, two in zip(*pair, strict=True)]))
        for pair in zip(found, true, strict=True)
    ]
    return figures


def make(store: str, folder: Path) -> None:
    """Fill a store."""
    rows, _, buckets = loaded(folder.parent)
    numbers = np.arange(1, len(buckets) + 1)
    began = time.process_time()
    opened = STORES[store](folder, rows.shape[1])
    opened.fill(numbers, rows[: len(buckets)], buckets)
    opened.close()
    print(json.dumps({"make_s": time.process_time() - began}))


def ask(store: str, folder: Path) -> None:
    """Open it, ask it, and replace some rows."""
    rows, queries, buckets = loaded(folder.parent)
    disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    warm_imports(store, rows.shape[1])
    began, at = time.process_time(), time.perf_counter()
    opened = STORES[store](folder, rows.shape[1])
    opened.search(queries[0], K, None)
    figures: dict[str, Any] = {
        "open_cpu_s": time.process_time() - began,
        "open_s": time.perf_counter() - at,
        "disk": disk,
        "found": [],
        "query_ms": [],
    }
    for limit in LIMITS:
        found = [list(map(int, opened.search(query, K, limit))) for query in queries]
        began = time.process_time()
        for query in queries[:TIMED]:
            opened.search(query, K, limit)
        figures["query_ms"].append((time.process_time() - began) / TIMED * 1e3)
        figures["found"].append(found)
    began = time.process_time()
    numbers = np.random.default_rng(5).permutation(len(buckets))[:REPLACED] + 1
    opened.upsert(numbers, rows[len(buckets) :], buckets[numbers - 1])
    opened.search(rows[-1], K, None)
    figures["upsert_s"] = time.process_time() - began
    opened.close()
    print(json.dumps(figures))


def warm_imports(store: str, dim: int) -> None:
    """Make and ask a small store, so that what is loaded only once is not counted as opening."""
    draw = np.random.default_rng(0).normal(size=(300, dim)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        small = STORES[store](Path(folder), dim)
        small.fill(np.arange(1, 301), draw, np.arange(300))
        small.search(draw[0], K, None)
        small.close()


def tell(store: str, found: dict[str, Any], ours: dict[str, Any]) -> None:
    """One line."""
    pairs = zip(found["query_ms"], ours["query_ms"], found["recall"], strict=True)
    asked = ", ".join(f"{ms:.2f} ({ms / our:.1f}) {recall:.3f}" for ms, our, recall in pairs)
    upsert, opened = found["upsert_s"], found["open_cpu_s"]
    print(
        f"{store}: {asked}; upsert {upsert * 1e3:,.0f} ms ({upsert / ours['upsert_s']:.1f}); "
        f"open {opened * 1e3:,.0f} ms CPU ({opened / ours['open_cpu_s']:.1f}), "
        f"{found['open_s'] * 1e3:,.0f} ms; disk {found['disk'] / 1e6:,.0f} MB; "
        f"made in {found['make_s']:,.0f} s CPU",
        flush=True,
    )


if __name__ == "__main__":
    main()
