"""The library: collections that are removed and made anew under those who search them."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.assembly.library import Library
from shoal.errors import Conflict, NotFound, StoreError
from shoal.retrieval.collection import Collection, rebuild
from shoal.retrieval.documents import Hit
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.shelf import Shelf
from tiny_encoder import TinyEncoder

BY_MEANING = SearchOptions(by="meaning")
TEXT = "\n\n".join(f"Paragraph {n} tells of word{n} and of the tide. " * 6 for n in range(40))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path, TinyEncoder)


def fill(library: Library) -> None:
    library.create("it")
    with library.using("it") as collection:
        collection.intake.add("a.txt", TEXT.encode())


def replace(library: Library) -> None:
    """As another process does that makes the collection anew."""
    folder = library.folder("it")
    shelf = Shelf.open(folder)
    shelf.copy_to(folder / "whole.db")
    shelf.close()
    (folder / "whole.db").replace(folder / "collection.db")
    for left in ("-wal", "-shm"):
        (folder / f"collection.db{left}").unlink(missing_ok=True)


def gone_meanwhile(library: Library, collection: Collection) -> None:
    library.remove("it")
    collection.search("tide")
    raise FileNotFoundError("an index")


def make_anew(library: Library) -> None:
    library.remove("it")
    fill(library)


def encode_anew(library: Library) -> None:
    rebuild(library.folder("it"), TinyEncoder())


@pytest.mark.parametrize("change", [make_anew, encode_anew, Library.close])
def test_searches_while_a_collection_goes_and_comes(
    library: Library, change: Callable[[Library], None]
) -> None:
    fill(library)
    stop, found, wrong = threading.Event(), list[int](), list[Exception]()

    def search() -> None:
        while not stop.is_set():
            try:
                with library.using("it") as collection:
                    found.append(len(collection.search("paragraph of word7")))
            except NotFound:
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, the test tells
                wrong.append(error)
                return

    threads = [threading.Thread(target=search, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 4
    while time.monotonic() < until and not wrong:
        change(library)
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert wrong == []
    assert max(found) == 10
    library.close()


def test_who_reads_meets_a_rebuilding_and_finds_all(library: Library) -> None:
    fill(library)
    stop, counts, wrong = threading.Event(), list[int](), list[Exception]()
    mine = Collection(library.folder("it"), TinyEncoder())  # as in Python, without a library

    def search(work: Callable[[], list[Hit]]) -> None:
        while not stop.is_set():
            try:
                counts.append(len(work()))
            except Exception as error:  # noqa: BLE001 - whatever it is, the test tells
                wrong.append(error)
                return

    def by_library() -> list[Hit]:
        return library.read("it", lambda found: found.search("paragraph", BY_MEANING))

    works = [by_library, by_library, lambda: mine.search("paragraph", BY_MEANING)]
    threads = [threading.Thread(target=search, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 3
    while time.monotonic() < until and not wrong:
        encode_anew(library)
        time.sleep(0.8)  # else a search would meet too many
    stop.set()
    for thread in threads:
        thread.join(20)
    assert wrong == []
    assert set(counts) == {10}
    mine.close()
    library.close()


@pytest.mark.parametrize("change", [replace, make_anew, encode_anew])
def test_a_reading_is_done_again_with_what_has_come(
    library: Library, change: Callable[[Library], None]
) -> None:
    fill(library)
    met = list[Collection]()

    def search(collection: Collection) -> list[Hit]:
        met.append(collection)
        if len(met) == 1:
            change(library)
            raise StoreError("its files went")
        return collection.search("paragraph of word7")

    assert len(library.read("it", search)) == 10
    assert len(met) == 2
    assert met[0] is not met[1]
    with pytest.raises(NotFound, match="no collection 'other'"):
        library.read("other", search)
    library.close()


def test_who_uses_a_collection_keeps_it_until_the_end(library: Library) -> None:
    fill(library)
    with library.using("it") as old:
        replace(library)
        with library.using("it") as new:
            assert new is not old
        library.close()
        assert old.shelf.counts()[0] == 1
        assert not old.shelf.is_in_place
    with pytest.raises(NotFound, match="was closed"):
        old.shelf.counts()


def test_a_shelf_never_goes_on_with_another_file(library: Library) -> None:
    fill(library)
    wrong = list[Exception]()

    def count() -> None:
        try:
            old.shelf.counts()
        except NotFound as error:
            wrong.append(error)

    with library.using("it") as old:
        replace(library)
        thread = threading.Thread(target=count)  # has no connection yet
        thread.start()
        thread.join()
    assert len(wrong) == 1
    library.close()


def test_what_fails_because_the_collection_went_says_so(library: Library) -> None:
    fill(library)
    with pytest.raises(FileNotFoundError), library.using("it"):
        raise FileNotFoundError("an index")
    with pytest.raises(NotFound, match="no collection 'it'"), library.using("it") as collection:
        gone_meanwhile(library, collection)
    fill(library)
    with pytest.raises(Conflict):
        library.create("it")


def test_names_are_not_told_to_who_asks_for_another(library: Library) -> None:
    library.create("secret-merger")
    with pytest.raises(NotFound, match=r"^no collection 'gone'$"), library.using("gone"):
        pass
    with pytest.raises(NotFound, match=r"^no collection 'gone'$"):
        library.remove("gone")
    with pytest.raises(NotFound, match=r"^no collection '\.\./gone'$"):
        library.folder("../gone")
