"""Removals, imports and rebuildings that were stopped halfway: what they left goes."""

import logging
import os
from contextlib import closing
from pathlib import Path

import pytest

from shoal.errors import Conflict, NotFound
from shoal.retrieval.collection import Collection, collections_in, rebuild, remove_collection
from shoal.retrieval.leftovers import set_aside, sweep
from shoal.retrieval.qdrant_place import QdrantPlace
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.transfer import export_collection, import_collection
from tiny_encoder import TinyEncoder

NOWHERE = QdrantPlace("http://127.0.0.1:9")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "collections"


def made(root: Path, qdrant: QdrantPlace | None = None) -> Path:
    with closing(Collection.create(root / "rivers", TinyEncoder(), qdrant=qdrant)) as found:
        found.intake.add("note", b"Dippers walk.")
        assert searched(found) == ["note"]
    return root / "rivers"


def searched(found: Collection) -> list[str]:
    hits = found.search("Dippers walk.", SearchOptions(by="meaning"))
    return [hit.document.name for hit in hits]


def hidden(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.name.startswith(".")]


def test_who_removes_was_stopped(root: Path) -> None:
    folder = made(root)
    set_aside(folder)
    assert collections_in(root) == []
    with pytest.raises(NotFound):
        Shelf.open(folder)
    assert len(hidden(root)) == 1
    made(root)
    remove_collection(folder)
    assert hidden(root) == []


def test_who_makes_one_was_stopped(root: Path, tmp_path: Path) -> None:
    export_collection(made(root), tmp_path / "file")
    remove_collection(root / "rivers")
    (root / "rivers" / "keywords" / "index").mkdir(parents=True)
    for name in (".x.making", ".x.making-wal"):
        (root / "rivers" / name).write_bytes(b"half")
    import_collection(tmp_path / "file", root / "rivers")
    assert hidden(root / "rivers") == []
    assert hidden(root) == []
    with closing(Collection(root / "rivers", TinyEncoder())) as found:
        assert searched(found) == ["note"]


def test_what_is_half_made_goes_once_nobody_makes_it(root: Path) -> None:
    (root / "rivers").mkdir(parents=True)
    for name, seconds in (("old", 1), ("new", None)):
        path = root / "rivers" / f".{name}.making"
        path.write_bytes(b"half")
        if seconds is not None:
            os.utime(path, (seconds, seconds))
    made(root)
    assert hidden(root / "rivers") == [".new.making"]


def test_who_imports_was_stopped(root: Path, tmp_path: Path) -> None:
    export_collection(made(root), tmp_path / "file")
    for name, seconds in (("old", 1), ("new", None)):
        waiting = root / f".brooks.{name}.importing"
        waiting.mkdir()
        (waiting / "collection.db").write_bytes(b"half")
        for path in (waiting / "collection.db", waiting):
            if seconds is not None:
                os.utime(path, (seconds, seconds))
    import_collection(tmp_path / "file", root / "brooks")
    assert hidden(root) == [".brooks.new.importing"]
    with pytest.raises(Conflict):
        import_collection(tmp_path / "file", root / "brooks")


def points(place: QdrantPlace) -> list[str]:
    with closing(place.client()) as client:
        return [one.name for one in client.get_collections().collections]


@pytest.fixture
def qdrant(tmp_path: Path) -> QdrantPlace:
    pytest.importorskip("qdrant_client")
    return QdrantPlace(str(tmp_path / "qdrant"))


def test_a_rebuilt_collection_leaves_no_points(root: Path, qdrant: QdrantPlace) -> None:
    folder = made(root, qdrant)
    (old,) = points(qdrant)
    rebuild(folder, TinyEncoder())
    rebuild(folder, TinyEncoder())  # the first was stopped before anybody searched it
    assert points(qdrant) == [old]
    with closing(Collection(folder, TinyEncoder(), qdrant=qdrant)) as found:
        assert searched(found) == ["note"]
        assert found.shelf.former() == []
    (new,) = points(qdrant)
    assert new != old


def test_a_removed_collection_leaves_no_points(root: Path, qdrant: QdrantPlace) -> None:
    folder = made(root, qdrant)
    rebuild(folder, TinyEncoder())
    assert len(points(qdrant)) == 1
    remove_collection(folder, lambda name: qdrant)
    assert points(qdrant) == []
    assert hidden(root) == []


def test_points_that_cannot_be_reached_go_later(
    root: Path, qdrant: QdrantPlace, caplog: pytest.LogCaptureFixture
) -> None:
    folder = made(root, qdrant)
    with caplog.at_level(logging.WARNING):
        remove_collection(folder, lambda name: NOWHERE if name == "rivers" else None)
    assert "collection rivers is removed, its vectors in Qdrant are not yet" in caplog.text
    (left,) = hidden(root)
    assert [path.name for path in (root / left).iterdir()] == ["points.json"]  # no word of it
    assert len(points(qdrant)) == 1
    sweep(root, lambda name: qdrant)
    assert (points(qdrant), hidden(root)) == ([], [])


def test_an_imported_collection_drops_nothing_of_the_other(
    root: Path, qdrant: QdrantPlace, tmp_path: Path
) -> None:
    folder = made(root, qdrant)
    rebuild(folder, TinyEncoder())
    export_collection(folder, tmp_path / "file")
    import_collection(tmp_path / "file", tmp_path / "other" / "rivers")
    with closing(Shelf.open(tmp_path / "other" / "rivers")) as shelf:
        assert shelf.former() == []
    remove_collection(tmp_path / "other" / "rivers", lambda name: qdrant)
    assert len(points(qdrant)) == 1
