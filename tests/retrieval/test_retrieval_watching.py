"""Sources are watched: what changes there is taken in, without being told."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoal.retrieval.collection import Collection, has_sources
from shoal.retrieval.intake import Summary
from shoal.retrieval.watching import watch
from tiny_encoder import TinyEncoder

Told = queue.Queue[tuple[str, Summary]]
LONG_S = 20.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "collections"


@pytest.fixture
def told(root: Path) -> Iterator[Told]:
    found, stop = Told(), threading.Event()

    def run() -> None:
        for each in watch(root, TinyEncoder(), stop=stop):
            found.put(each)

    thread = threading.Thread(target=run)
    thread.start()
    yield found
    stop.set()
    thread.join(LONG_S)
    assert not thread.is_alive()


def test_changes_are_taken_in_as_they_come(root: Path, tmp_path: Path, told: Told) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "otters.txt").write_text("Otters eat crayfish.")
    rivers = Collection.create(root / "rivers", TinyEncoder())
    assert not has_sources(root)
    rivers.add_sources([files])  # while it is watched: there was no collection before
    assert has_sources(root)
    name, summary = told.get(timeout=LONG_S)
    assert (name, summary.written) == ("rivers", 1)
    (files / "herons.txt").write_text("Herons wait.")
    assert told.get(timeout=LONG_S)[1].written == 1
    assert len(rivers.search("herons wait")) == 2
    (files / "otters.txt").unlink()
    assert told.get(timeout=LONG_S)[1].removed == 1
    assert [hit.passage.text for hit in rivers.search("otters")] == ["Herons wait."]


def test_its_own_data_within_a_source_keeps_nobody_busy(
    root: Path, tmp_path: Path, told: Told
) -> None:
    (tmp_path / "note.txt").write_text("Dippers walk under water.")
    streams = Collection.create(root / "streams", TinyEncoder())
    streams.add_sources([tmp_path])  # the collections lie within
    assert told.get(timeout=LONG_S)[1].written == 1
    with pytest.raises(queue.Empty):
        told.get(timeout=4)
    (tmp_path / "other.txt").write_text("Voles swim.")
    assert told.get(timeout=LONG_S)[1].written == 1


def test_a_collection_that_fails_does_not_stop_the_others(
    root: Path, tmp_path: Path, told: Told
) -> None:
    (root / "broken").mkdir(parents=True)
    (root / "broken" / "collection.db").write_bytes(b"no database" * 500)
    (tmp_path / "note.txt").write_text("Dippers walk under water.")
    streams = Collection.create(root / "streams", TinyEncoder())
    streams.add_sources([tmp_path / "note.txt"])
    assert told.get(timeout=LONG_S)[0] == "streams"
