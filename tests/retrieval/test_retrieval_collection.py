"""Collections of real files: taken in, changed, removed, searched, moved."""

import os
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from shoal.errors import ConfigError, Conflict, MissingExtra, NotFound, StoreDamaged
from shoal.retrieval import collection as parts
from shoal.retrieval.collection import (
    Collection,
    collections_in,
    rebuild,
    remove_collection,
)
from shoal.retrieval.filter_text import filter_from_text
from shoal.retrieval.intake import Progress
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.shelf_rows import Seal, Source
from shoal.retrieval.transfer import export_collection, import_collection
from shoal.retrieval.vectors import VectorIndex
from shoal.storage.file_lock import FileLock
from tiny_encoder import TinyEncoder

WORDS = SearchOptions(by="words")
LONG = " So much is known of them." * 10  # that no two sections share a passage


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    eat, sleep = "They eat crayfish." + LONG, "They sleep in holts." + LONG
    (folder / "otters.md").write_text(f"# Otters\n\n{eat}\n\n## Sleep\n\n{sleep}\n")
    (folder / "herons.txt").write_text("Herons stand still and wait for fish.")
    (folder / "birds.csv").write_text("name,legs\nheron,2\nwagtail,2\n")
    return folder


@pytest.fixture
def rivers(tmp_path: Path, files: Path) -> Collection:
    found = Collection.create(tmp_path / "collections" / "rivers", TinyEncoder())
    found.add_sources([files])
    found.sync()
    return found


def names(collection: Collection, query: str, options: SearchOptions = WORDS) -> list[str]:
    return [Path(hit.document.name).name for hit in collection.search(query, options)]


def test_files_are_found_by_words_and_meaning(rivers: Collection) -> None:
    (hit,) = rivers.search("crayfish", WORDS)
    assert hit.passage.text == "They eat crayfish." + LONG
    assert hit.passage.headings == ("Otters",)
    assert (hit.document.title, hit.document.kind) == ("Otters", "markdown")
    assert hit.words is not None
    assert hit.meaning is None
    both = rivers.search("herons wait for fish")
    assert Path(both[0].document.name).name == "herons.txt"
    assert both[0].meaning is not None
    assert both[0].score >= both[-1].score
    by_meaning = SearchOptions(by="meaning", k=1)
    assert names(rivers, "Herons stand still and wait for fish.", by_meaning) == ["herons.txt"]
    assert names(rivers, "wagtail") == ["birds.csv"]


def test_what_an_older_shoal_cut_is_cut_anew_once(
    rivers: Collection, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / "gone.txt").write_text("Eels.")
    rivers.sync()
    with sqlite3.connect(rivers.shelf.path) as conn:  # as an older one left it
        conn.execute("UPDATE passages SET text = 'old', digest = 'old' WHERE text LIKE 'Herons%'")
        conn.execute("PRAGMA user_version = 1")
    conn.close()
    (files / "gone.txt").unlink()
    encoded: list[str] = []
    encode = rivers.encoder.encode
    monkeypatch.setattr(rivers.encoder, "encode", lambda t: encoded.extend(t) or encode(t))
    found = rivers.sync()
    assert (found.unchanged, found.written, found.removed, found.failed) == (0, 3, 1, 0)
    assert encoded == ["Herons stand still and wait for fish."]  # others keep their vectors
    assert names(rivers, "wait for fish") == ["herons.txt"]
    assert (rivers.sync().unchanged, rivers.shelf.is_outdated) == (3, False)


def test_only_what_changed_is_read_again(rivers: Collection, files: Path) -> None:
    same = rivers.sync()
    assert (same.unchanged, same.written, same.removed, same.failed) == (3, 0, 0, 0)
    (files / "herons.txt").write_text("Herons nest in trees.")
    os.utime(files / "birds.csv", (1, 1))  # touched, and holds what it held
    (files / "otters.md").unlink()
    (files / "new").mkdir()
    (files / "new" / "voles.txt").write_text("Voles swim.")
    found = rivers.sync()
    assert (found.unchanged, found.written, found.removed, found.failed) == (1, 2, 1, 0)
    assert names(rivers, "crayfish wait nest swim", WORDS) == ["voles.txt", "herons.txt"]
    assert rivers.sync().unchanged == 3


def test_equal_passages_are_encoded_once(tmp_path: Path, files: Path) -> None:
    encoder = TinyEncoder()
    found = Collection.create(tmp_path / "collections" / "rivers", encoder)
    found.add_sources([files])
    found.sync()
    encoder.encoded.clear()
    (files / "again").mkdir()
    (files / "again" / "herons.txt").write_bytes((files / "herons.txt").read_bytes())
    assert found.sync().written == 1
    assert encoder.encoded == []
    assert names(found, "stand") == ["herons.txt"]  # the same words are one hit
    assert len(found.search("stand", SearchOptions(by="words", distinct=False))) == 2


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(rivers: Collection, files: Path) -> None:
    (files / "empty.txt").write_text("")
    (files / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing of a PDF")
    (files / "good.txt").write_text("Kingfishers dive.")
    (files / "loop").symlink_to(files)
    (files / "circle.txt").symlink_to(files / "circle.txt")
    found = rivers.sync()
    assert (found.written, found.failed) == (1, 3)
    failed = {Path(one.name).name: one.reason for one in rivers.failures()}
    assert set(failed) == {"empty.txt", "broken.pdf", "circle.txt"}
    assert failed["empty.txt"] == "holds no text: it is empty"
    assert names(rivers, "kingfishers") == ["good.txt"]
    again = rivers.sync()
    assert again.failed == 1  # the link, which cannot be looked at; the others were not read again
    (files / "empty.txt").write_text("Not empty any more.")
    (files / "circle.txt").unlink()
    assert rivers.sync().written == 1
    assert {Path(one.name).name for one in rivers.failures()} == {"broken.pdf"}


def test_a_folder_that_cannot_be_read_loses_nothing(rivers: Collection, files: Path) -> None:
    (files / "deep").mkdir()
    (files / "deep" / "eels.txt").write_text("Eels migrate.")
    rivers.sync()
    moved = files.rename(files.with_name("elsewhere"))
    assert (rivers.sync().removed, rivers.sync().failed) == (0, 1)  # a disk that is not mounted
    files.symlink_to(files)  # a circle where the folder was
    assert (rivers.sync().removed, rivers.sync().failed) == (0, 1)
    assert names(rivers, "eels") == ["eels.txt"]
    files.unlink()
    moved.rename(files)
    assert rivers.sync().unchanged == 4
    assert rivers.failures() == []


def test_an_empty_place_of_a_disk_loses_nothing(
    rivers: Collection, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = [Source(one.path, (one.device or 0) + 1) for one in rivers.shelf.sources()]
    monkeypatch.setattr(rivers.shelf, "sources", lambda: mounted)  # as it was: another device
    for file in files.iterdir():
        file.unlink()
    assert rivers.sync().removed == 0
    assert "is its disk mounted?" in rivers.failures()[0].reason


def test_what_cannot_be_read_now_is_read_later(
    rivers: Collection, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = files / "herons.txt"
    file.write_text("Herons nest in trees.")

    def fails(path: str, seal: Seal) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("shoal.retrieval.intake._bytes_of", fails)
        assert rivers.sync().failed == 1
        assert rivers.failures()[0].reason == "Permission denied"
    assert names(rivers, "stand") == ["herons.txt"]  # what it held is still there
    assert rivers.sync().written == 1
    assert names(rivers, "trees") == ["herons.txt"]
    assert rivers.failures() == []


def test_shoals_own_data_is_never_taken_in(rivers: Collection, tmp_path: Path) -> None:
    (tmp_path / "files" / "uploads").mkdir()
    (tmp_path / "files" / "uploads" / "files.db").write_text("")
    (tmp_path / "files" / "uploads" / "secret.txt").write_text("Somebody's upload.")
    rivers.add_sources([tmp_path])  # the collections lie within
    assert rivers.sync().written == 0
    assert rivers.sync().unchanged == 3
    assert names(rivers, "upload") == []


def test_names_that_are_no_text_are_told(rivers: Collection, files: Path) -> None:
    with open(os.fsencode(files) + b"/caf\xe9.txt", "w") as file:
        file.write("Coffee.")
    assert (rivers.sync().written, rivers.sync().failed) == (0, 1)
    assert rivers.failures()[0].name.endswith("caf\\udce9.txt")


def test_what_is_hidden_within_a_source_is_left_out(rivers: Collection, tmp_path: Path) -> None:
    folder = tmp_path / ".notes"  # that the source itself is hidden says nothing
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config.txt").write_text("Settings of git.")
    (folder / "newts.txt").write_text("Newts breathe.")
    rivers.add_sources([folder])
    assert rivers.sync().written == 1
    assert names(rivers, "newts git") == ["newts.txt"]


def test_filters_are_on_what_files_are(rivers: Collection) -> None:
    def found(where: str) -> list[str]:
        options = SearchOptions(by="words", where=filter_from_text(where))
        return names(rivers, "heron herons otters eat name", options)

    assert found('kind = "csv"') == ["birds.csv"]
    assert found('file = "otters.md"') == ["otters.md", "otters.md"]
    assert found('modified >= "2020-01-01" and kind != "markdown"') == ["birds.csv", "herons.txt"]
    assert found('modified < "2020-01-01"') == []


def test_a_file_cannot_say_of_what_kind_it_is(rivers: Collection) -> None:
    rivers.intake.add("m.md", b"---\nkind: pdf\nauthor: me\n---\n# A\n\nMinks swim.")
    (hit,) = rivers.search("minks", SearchOptions(where=filter_from_text('kind = "markdown"'), k=1))
    assert hit.document.name == "m.md"
    assert hit.document.attributes == {"kind": "markdown", "author": "me"}
    given = rivers.intake.add("n.md", b"Minks dive.", {"kind": "letter"})
    assert given.attributes["kind"] == "letter"  # who takes it in may


def test_neighbours_are_of_the_same_document(rivers: Collection) -> None:
    options = SearchOptions(by="words", neighbours=2)
    (hit,) = rivers.search("holts", options)
    assert [one.text for one in hit.before] == ["They eat crayfish." + LONG]
    assert hit.after == ()


def test_sources_come_and_go(rivers: Collection, files: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("Mayflies hatch.")
    rivers.add_sources([other])
    assert rivers.sync().written == 1
    assert rivers.remove_source(files) == 3
    assert names(rivers, "crayfish mayflies") == ["other.txt"]
    with pytest.raises(NotFound, match=r"it takes from: .*other\.txt"):
        rivers.remove_source(files)
    other.unlink()
    assert rivers.sync().removed == 1
    with pytest.raises(NotFound, match="no such file"):
        rivers.add_sources([files, tmp_path / "nowhere"])
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(NotFound, match="neither a file nor a folder"):
        rivers.add_sources([tmp_path / "pipe.txt"])
    assert [source.path for source in rivers.shelf.sources()] == [str(other)]


def test_a_folder_is_the_same_by_whatever_path(rivers: Collection, files: Path) -> None:
    (files.parent / "link").symlink_to(files)
    rivers.add_sources([files / ".." / "files", files.parent / "link"])
    assert [source.path for source in rivers.shelf.sources()] == [str(files)]
    assert rivers.sync().unchanged == 3
    assert rivers.remove_source(files.parent / "link") == 3


def test_links_lead_nowhere_else(rivers: Collection, files: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("The password is swordfish.")
    (files / "out.txt").symlink_to(tmp_path / "secret.txt")
    (files / "in.txt").symlink_to(files / "herons.txt")
    assert rivers.sync().written == 1
    assert names(rivers, "swordfish") == []


def test_progress_is_told(rivers: Collection, files: Path) -> None:
    (files / "one.txt").write_text("one")
    (files / "two.txt").write_text("twotwo")
    told = list[Progress]()
    rivers.sync(told.append)
    assert (told[0].files, told[0].size, told[0].done) == (2, 9, 0)
    assert (told[-1].done, told[-1].read, told[-1].passages) == (2, 9, 2)


def test_it_moves_as_one_file(rivers: Collection, tmp_path: Path) -> None:
    file = tmp_path / "rivers.shoal"
    export_collection(rivers.folder, file)
    import_collection(file, tmp_path / "collections" / "streams")
    moved = Collection(tmp_path / "collections" / "streams", TinyEncoder())
    assert names(moved, "crayfish") == ["otters.md"]
    assert moved.shelf.sources() == []
    assert moved.sync().removed == 0
    assert collections_in(tmp_path / "collections") == ["rivers", "streams"]
    with pytest.raises(Conflict):
        import_collection(file, tmp_path / "collections" / "streams")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(StoreDamaged):
        import_collection(file, tmp_path / "collections" / "brooks")
    assert moved.shelf.made != rivers.shelf.made
    assert collections_in(tmp_path / "collections") == ["rivers", "streams"]


def test_what_is_left_of_a_removed_collection_is_not_taken_for_anothers(
    rivers: Collection, tmp_path: Path
) -> None:
    root = tmp_path / "collections"
    (root / "left").mkdir()
    shutil.copytree(rivers.folder / "keywords", root / "left" / "keywords")
    shutil.copytree(rivers.folder / "vectors", root / "left" / "vectors")
    found = Collection.create(root / "left", TinyEncoder())
    found.intake.add("note", b"Dippers walk.")
    assert names(found, "crayfish dippers") == ["note"]
    assert names(found, "Dippers walk.", SearchOptions(by="meaning")) == ["note"]
    remove_collection(root / "left")
    assert collections_in(root) == ["rivers"]
    assert [path.name for path in root.iterdir()] == ["rivers"]
    with pytest.raises(NotFound):
        remove_collection(root / "left")


def test_a_search_does_not_wait_for_long_indexing(
    rivers: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Collection(rivers.folder, TinyEncoder())
    lock = FileLock(rivers.folder / "keywords" / "lock")
    rivers.intake.add("note", b"Dippers walk.")
    assert lock.take()
    monkeypatch.setattr("shoal.retrieval.collection._SEARCH_WAITS_S", 0.1)
    assert names(other, "crayfish dippers") == ["otters.md"]
    lock.release()
    assert names(other, "dippers") == ["note"]


@pytest.mark.parametrize("more", [False, True])
def test_a_writer_that_comes_too_late_holds_no_lock(
    rivers: Collection, monkeypatch: pytest.MonkeyPatch, more: bool
) -> None:
    late, claim = Collection(rivers.folder, TinyEncoder()), VectorIndex.claim
    overtaken = False

    def overtaken_claim(index: VectorIndex) -> bool:
        nonlocal overtaken
        if not overtaken:  # another process takes it in first, and perhaps what came since, too
            overtaken = True
            if more:
                rivers.intake.add("more", b"Voles swim.")
            rivers.follow()
        return claim(index)

    late.intake.add("note", b"Dippers walk.")
    with monkeypatch.context() as patch:
        patch.setattr(VectorIndex, "claim", overtaken_claim)
        late.follow()
    assert overtaken
    rivers.intake.add("other", b"Newts breathe.")
    monkeypatch.setattr("shoal.retrieval.collection._PATIENCE_S", 0.5)
    rivers.follow()
    by_meaning = SearchOptions(by="meaning", k=1)
    assert names(late, "Dippers walk.", by_meaning) == ["note"]
    assert names(rivers, "Newts breathe.", by_meaning) == ["other"]


def test_another_encoder_is_noticed_and_can_take_over(rivers: Collection) -> None:
    rivers.close()
    other = TinyEncoder(dim=16, digest="1" * 64)
    with pytest.raises(Conflict, match="shoal collections rebuild rivers"):
        Collection(rivers.folder, other)
    opened = Collection(rivers.folder, TinyEncoder())
    assert rebuild(rivers.folder, other) == 4
    with pytest.raises(Conflict, match="encoded anew meanwhile"):
        opened.search("crayfish")
    anew = Collection(rivers.folder, other)
    assert names(anew, "Herons stand still", SearchOptions(by="meaning", k=1)) == ["herons.txt"]
    assert names(anew, "crayfish") == ["otters.md"]


def test_documents_by_other_names(rivers: Collection) -> None:
    first = rivers.intake.add("note", b"Dippers walk under water.", {"author": "ann"}, id="f-1")
    assert (first.id, first.attributes["author"]) == ("f-1", "ann")
    assert names(rivers, "dippers") == ["note"]
    rivers.sync()
    assert names(rivers, "dippers") == ["note"]  # it is no file of a source
    rivers.shelf.remove(["note"])
    assert names(rivers, "dippers") == []


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", "-a", "a" * 65, ".a"])
def test_names_that_will_not_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="a collection's name"):
        parts.check_name(name)


@pytest.mark.parametrize("missing", ["tantivy", "faiss"])
def test_without_what_searches_nothing_is_made(
    tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r"pip install 'shoal\[docs\]'"):
        Collection.create(tmp_path / "rivers", TinyEncoder())
    assert collections_in(tmp_path) == []


def test_many_threads_search_while_one_takes_in(rivers: Collection, files: Path) -> None:
    failed = list[BaseException]()

    def searching() -> None:
        try:
            for _ in range(30):
                assert "otters.md" in names(rivers, "crayfish")
                where = filter_from_text('kind = "text"')
                rivers.search("fish", SearchOptions(where=where))
        except BaseException as error:  # noqa: BLE001 - told below
            failed.append(error)

    threads = [threading.Thread(target=searching) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(10):
        (files / f"{number}.txt").write_text(f"Number {number} of many fish.")
        rivers.sync()
    for thread in threads:
        thread.join()
    assert failed == []
    assert names(rivers, "number 7")[0] == "7.txt"
