"""Processes that make, encode anew and remove a collection, killed; and what is wrong afterwards.

Others write to it and search it at the same time. Whatever was under way, what is there afterwards
is wholly the collection as it was or wholly as it was to be, or there is none.
"""

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from msgspec import Struct

from benchmarks.collection_writers import (
    Hashed,
    Step,
    do,
    heard,
    kill,
    started,
    steps,
    text_of,
    wrongs,
)
from shoal.errors import NotFound, StoreError
from shoal.retrieval.collection import Collection, collections_in, rebuild, remove_collection
from shoal.retrieval.documents import Piece
from shoal.retrieval.intake import vectors_of
from shoal.retrieval.leftovers import sweep
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_rows import Seal
from shoal.retrieval.transfer import export_collection, import_collection

ENCODERS = {one.digest: one for one in (Hashed(), Hashed("other", 24))}
STAYING = 120  # documents that nobody changes, so that encoding anew takes several turns
REMOVED_WITHIN_S, MADE_WITHIN_S = 0.015, 0.3


class Life(Struct):
    """What was seen: kills, how each ended, and what was wrong."""

    points: int = 0
    ends: Counter[str] = Counter()
    wrong: list[str] = []


class Scene(Struct):
    """A collection, which versions of its documents were acknowledged, how long encoding it anew
    takes, and a file that was exported from it."""

    folder: Path
    known: dict[str, int]
    rebuilt_s: float
    file: Path


def encoder_of(folder: Path) -> Hashed:
    """The one that its vectors are of."""
    with closing(Shelf.open(folder)) as shelf:
        return ENCODERS[shelf.encoder]


def encode_anew(folder: Path, told: Connection) -> None:
    """By the other encoder."""
    now = encoder_of(folder)
    other = next(one for one in ENCODERS.values() if one is not now)
    told.send("begun")
    rebuild(folder, other)
    told.send("done")


def remove_it(folder: Path, told: Connection) -> None:
    told.send("begun")
    time.sleep(0.002)  # some kills come before
    remove_collection(folder)
    told.send("done")


def make_it(folder: Path, seed: int, told: Connection) -> None:
    """Make one, and write to it."""
    told.send(("begun", Step("", 0)))
    with closing(Collection.create(folder, Hashed(), max_tokens=64)) as made:
        told.send(("done", Step("", 0)))
        for step in steps(seed):
            do(made, step, told)


def write_on(folder: Path, seed: int, told: Connection) -> None:
    """Write, whoever encodes it anew or removes it meanwhile."""
    going = steps(seed)
    while True:
        with suppress(StoreError), closing(Collection(folder, encoder_of(folder))) as found:
            for step in going:
                do(found, step, told)


def fill(folder: Path) -> dict[str, int]:
    """Make a collection; which documents it has."""
    known = {f"s{number}": 1 for number in range(STAYING)}
    with closing(Collection.create(folder, Hashed(), max_tokens=64)) as found:
        texts = {name: text_of(Step(name, 1)).encode() for name in known}
        seals = {name: Seal(len(text), 1) for name, text in texts.items()}
        found.intake.write([found.intake.draft(n, seals[n], t, {}) for n, t in texts.items()])
        found.search("shared")
    return known


def mixed(folder: Path) -> list[str]:
    """Passages whose vectors are not all of the encoder that the collection says."""
    encoder, found = encoder_of(folder), list[str]()
    with closing(Shelf.open(folder)) as shelf:
        shelf.check()
        for document in shelf.documents():
            passages = shelf.text_of(document.number)
            there = shelf.vectors_of([one.number for one in passages])
            wanted = vectors_of([Piece(one.text, one.headings) for one in passages], encoder)
            for one, vectors in zip(passages, wanted, strict=True):
                same = there.get(one.number, np.empty(0)).shape == vectors.shape
                if not same or not np.allclose(there[one.number], vectors, atol=4e-3):
                    found.append(f"{document.name}: vectors of another encoder, or none")
    return found


def rebuilding(scene: Scene, seed: int) -> tuple[str, list[str]]:
    """Encoding anew, killed while another process writes."""
    before, draw = encoder_of(scene.folder), random.Random(-seed)
    writer, written = started(write_on, scene.folder, seed)
    written.poll(30)
    process, here = started(encode_anew, scene.folder)
    here.poll(30)
    time.sleep(draw.uniform(0, scene.rebuilt_s))
    kill(process)
    if draw.random() < 0.5:
        time.sleep(0.02)  # the writer goes on after that
    kill(writer)
    _, under_way = heard(written, scene.known)
    now, is_done = encoder_of(scene.folder), last(here) == "done"
    found = wrongs(scene.folder, scene.known, under_way, now) + mixed(scene.folder)
    if is_done and now is before:
        found.append("encoded anew, and is as it was")
    return "anew" if now is not before else "as it was", found


def removing(scene: Scene, seed: int) -> tuple[str, list[str]]:
    """Removal, killed while another process writes and searches."""
    folder, draw = scene.folder, random.Random(-seed)
    writer, written = started(write_on, folder, seed)
    written.poll(30)
    process, here = started(remove_it, folder)
    here.poll(30)
    time.sleep(draw.uniform(0, REMOVED_WITHIN_S))
    kill(process)
    kill(writer)
    _, under_way = heard(written, scene.known)
    is_there, is_done = folder.name in collections_in(folder.parent), last(here) == "done"
    if is_there:
        found = wrongs(folder, scene.known, under_way, encoder_of(folder))
        return "there", found + (["removed, and there"] if is_done else [])
    found = absent(scene)
    scene.known = fill(folder)
    return "gone", found


def making(scene: Scene, seed: int) -> tuple[str, list[str]]:
    """Making one, killed."""
    folder, known = scene.folder.with_name("made"), dict[str, int]()
    process, here = started(make_it, folder, seed)
    here.poll(30)
    time.sleep(random.Random(-seed).uniform(0, MADE_WITHIN_S))
    kill(process)
    done, under_way = heard(here, known)
    known.pop("", None)
    if under_way is not None and not under_way.name:
        under_way = None
    if folder.name in collections_in(folder.parent):
        found = wrongs(folder, known, under_way)
        remove_collection(folder)
        return "there", found
    found = absent(Scene(folder, {}, 0, scene.file))
    return "none", found + (["acknowledged, and not there"] if done else [])


def absent(scene: Scene) -> list[str]:
    """What is wrong with a collection that is not there: nothing of it may be found, or be in the
    way of another."""
    folder, found = scene.folder, list[str]()
    with suppress(NotFound):
        Shelf.open(folder).close()
        found.append("not there, and opened")
    with closing(Collection.create(folder, Hashed(), max_tokens=64)) as made:
        for by in ("words", "meaning"):
            if made.search("shared", SearchOptions(by=by)):
                found.append(f"{by}: of one that was removed")
    remove_collection(folder)
    if folder.exists():
        shutil.rmtree(folder)
    (folder / "keywords" / "index").mkdir(parents=True)  # as a search leaves that came too late
    import_collection(scene.file, folder)
    with closing(Shelf.open(folder)) as shelf:
        if shelf.counts()[0] != STAYING:
            found.append("imported, and not whole")
    remove_collection(folder)
    sweep(folder.parent)
    left = [path.name for path in folder.parent.iterdir() if path.name.startswith(".")]
    return found + [f"left behind: {name}" for name in left]


def last(here: Connection) -> str:
    """What was told last."""
    said = ""
    with suppress(EOFError):
        while here.poll(0):
            said = here.recv()
    return said


KINDS: dict[str, Callable[[Scene, int], tuple[str, list[str]]]] = {
    "rebuilding": rebuilding,
    "removing": removing,
    "making": making,
}


def run(points: int, seed: int = 0) -> Life:
    """So many kills, of each kind a third."""
    life, root = Life(ends=Counter()), Path(tempfile.mkdtemp(prefix="shoal-lives-"))
    folder, kinds = root / "collections" / "killed", list(KINDS)
    try:
        scene = Scene(folder, fill(folder), 0, root / "killed.shoal")
        export_collection(folder, scene.file)
        began = time.perf_counter()
        rebuild(folder, ENCODERS["other"])
        scene.rebuilt_s = 3 * (time.perf_counter() - began)  # beside a writer, and on shared cores
        for point in range(points):
            kind = kinds[point % len(kinds)]
            end, wrong = KINDS[kind](scene, seed + point + 1)
            life.points += 1
            life.ends[f"{kind}: {end}"] += 1
            life.wrong += [f"point {point}, {kind}: {one}" for one in wrong]
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return life
