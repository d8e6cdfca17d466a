"""Writers of a collection that are killed, and what is wrong with it afterwards."""

import multiprocessing
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess as Process
from pathlib import Path

import numpy as np
from msgspec import Struct

from shoal.retrieval.collection import Collection
from shoal.retrieval.search import SearchOptions

DIM = 16
NAMES = tuple(f"d{number}" for number in range(8))
LONGEST_S = 0.35  # after the writer began
PASSAGES = 3  # of a document


class Hashed:
    """An encoder without weights: each word is a direction."""

    def __init__(self, digest: str = "hashed", dim: int = DIM) -> None:
        self.digest, self.dim = digest, dim

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.empty((len(texts), self.dim))
        for row, text in zip(rows, texts, strict=True):
            row[:] = 1 + sum(direction(word, self.dim) for word in text.split())
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit.astype(np.float32)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return self.count_tokens(texts)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + 2 for text in texts]


class Step(Struct, frozen=True):
    """What is done to a document: its new ``version``, 0: it is removed."""

    name: str
    version: int


class Report(Struct):
    """What was seen: kills, acknowledged steps, and what was wrong."""

    points: int = 0
    steps: int = 0
    wrong: list[str] = []


@cache
def direction(word: str, dim: int) -> np.ndarray:
    seed = int.from_bytes(word.encode()[:16].ljust(16, b"."), "little")
    return np.random.default_rng(seed).standard_normal(dim)


def text_of(step: Step) -> str:
    """Passages that no other version shares a word with, but for one."""
    own = f"{step.name}v{step.version}"
    return "\n\n".join(f"shared {own} part{at} {' '.join([own] * 33)}." for at in range(PASSAGES))


def write(folder: Path, seed: int, told: Connection) -> None:
    """Write until killed."""
    collection = Collection(folder, Hashed())
    for step in steps(seed):
        do(collection, step, told)


def steps(seed: int) -> Iterator[Step]:
    """Without end."""
    draw = random.Random(seed)
    for version in count(1_000 * seed + 1):
        yield Step(draw.choice(NAMES), version if draw.random() < 0.75 else 0)


def do(collection: Collection, step: Step, told: Connection) -> None:
    """Take the step, and tell of it."""
    told.send(("begun", step))
    if step.version:
        collection.intake.add(step.name, text_of(step).encode())
    else:
        collection.shelf.remove([step.name])
    told.send(("done", step))
    if step.version % 2:  # the indexes are written then
        collection.search("shared", SearchOptions(k=1))


def strike(folder: Path, seed: int, known: dict[str, int]) -> tuple[int, Step | None]:
    """One writer, killed; ``known`` is brought up to date. How many steps were done, and the one
    under way."""
    process, here = started(write, folder, seed)
    here.poll(30)  # the writer has opened the collection and begins
    time.sleep(random.Random(-seed).uniform(0, LONGEST_S))
    kill(process)
    return heard(here, known)


def started(work: Callable[..., None], *args: object) -> tuple[Process, Connection]:
    """A process that does ``work``, and where it tells of it."""
    context = multiprocessing.get_context("forkserver")
    preloaded = ["benchmarks.collection_writers", "benchmarks.collection_lives"]
    context.set_forkserver_preload([*preloaded, "faiss", "tantivy"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(*args, there), daemon=True)
    process.start()
    there.close()
    return process, here


def kill(process: Process) -> None:
    """By SIGKILL, unless it has ended."""
    process.kill()
    process.join()


def heard(here: Connection, known: dict[str, int]) -> tuple[int, Step | None]:
    """How many steps a writer did before it was killed, and the one under way."""
    done, under_way = 0, None
    try:
        while here.poll(0):
            what, step = here.recv()
            if what == "begun":
                under_way = step
            else:
                known[step.name], done, under_way = step.version, done + 1, None
    except EOFError:
        pass
    return done, under_way


def wrongs(
    folder: Path, known: dict[str, int], under_way: Step | None, encoder: Hashed | None = None
) -> list[str]:
    """What is not as it was acknowledged; ``known`` learns what became of the step under way."""
    collection, found = Collection(folder, encoder or Hashed()), list[str]()
    try:
        if under_way is not None:
            known[under_way.name] = settled(collection, known.get(under_way.name, 0), under_way)
        present = {name: version for name, version in known.items() if version}
        passages = {one.name: one.passages for one in collection.shelf.documents()}
        if set(passages) != set(present):
            found.append(f"the shelf has {sorted(passages)}, not {sorted(present)}")
        for by in ("words", "meaning"):
            hits = collection.search("shared", SearchOptions(k=1_000, by=by, distinct=False))
            counts = dict.fromkeys(present, 0)
            for hit in hits:
                name = hit.document.name
                if name not in present:
                    found.append(f"{by}: {name} was removed")
                elif f"{name}v{present[name]} " not in hit.passage.text:
                    found.append(f"{by}: {name} is an older one")
                else:
                    counts[name] += 1
            found += [f"{by}: {n}: {c} passages" for n, c in counts.items() if c != passages.get(n)]
    finally:
        collection.close()
    return found


def settled(collection: Collection, before: int, step: Step) -> int:
    """Which version the shelf has of the document under way: only the old or the new will do."""
    for document in collection.shelf.documents():
        if document.name == step.name:
            text = collection.shelf.text_of(document.number)[0].text
            return step.version if f"{step.name}v{step.version} " in text else before
    return 0 if step.version == 0 or before == 0 else before


def run(points: int, seed: int = 0) -> Report:
    """So many kills of writers of one collection."""
    report, known = Report(), dict[str, int]()
    root = Path(tempfile.mkdtemp(prefix="shoal-killed-"))
    try:
        Collection.create(root / "killed", Hashed(), max_tokens=64).close()
        for point in range(points):
            done, under_way = strike(root / "killed", seed + point + 1, known)
            report.points, report.steps = report.points + 1, report.steps + done
            report.wrong += wrongs(root / "killed", known, under_way)
    finally:
        shutil.rmtree(root)
    return report
