"""Files on their way into a collection: across restarts, kills, and changes of mind."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal.assembly import attaching
from shoal.assembly.library import Library
from shoal.assembly.stacks import Stacks
from shoal.errors import EncoderMissing, NotAllowed, NotFound, StoreDamaged
from shoal.formats.paging import Paging
from shoal.formats.uploads import UploadOrder
from shoal.formats.vector_stores import NewBatch, NewStore, NewStoreFile, StoreSearch
from shoal.retrieval.attachments import Attachments
from shoal.retrieval.documents import Document
from shoal.retrieval.uploads import Uploads
from shoal.routing.caller import ANYBODY, Caller, KeySpec
from tiny_encoder import TinyEncoder

PARAGRAPH = "The tide turns at hour {n}, and boats of number {n} leave the harbour. " * 8


class Slow(TinyEncoder):
    """Takes ``seconds`` for each batch of a file's passages."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds, self.began = seconds, threading.Event()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if threading.current_thread().name == "shoal-attaching":
            self.began.set()
            time.sleep(self.seconds)
        return super().encode(texts)


def new_stacks(folder: Path, encoder: TinyEncoder) -> tuple[Stacks, Library]:
    library = Library(folder / "collections", lambda: encoder)
    return Stacks(library, Uploads(folder / "files"), lambda: encoder), library


def upload(stacks: Stacks, name: str, text: str, expires_s: float | None = None) -> str:
    incoming = stacks.uploads.begin()
    incoming.write(text.encode())
    order = UploadOrder(filename=name, purpose="assistants", expires_s=expires_s)
    return stacks.uploads.keep(incoming, order, ANYBODY).id


def long_text(seed: int) -> str:
    return "\n\n".join(PARAGRAPH.format(n=1000 * seed + n) for n in range(100))


def until(is_so: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if is_so():
            return
        time.sleep(0.02)
    pytest.fail("that was awaited in vain")


def status(stacks: Stacks, file: str) -> str:
    return stacks.files.get("vs_it", file, ANYBODY).status


def documents_of(library: Library) -> list[Document]:
    with library.using("it") as collection:
        return collection.shelf.documents()


def begin_slowly(folder: Path, seconds: float) -> None:
    """Attach three files, the first being encoded when this returns; run by a process to kill."""
    encoder = Slow(seconds)
    stacks, _ = new_stacks(folder, encoder)
    stacks.open()
    stacks.stores.create(NewStore(name="it"), ANYBODY)
    for number in range(3):
        file = upload(stacks, f"{number}.txt", long_text(number))
        stacks.files.attach("vs_it", NewStoreFile(file_id=file), ANYBODY)
        print(file, flush=True)
    encoder.began.wait()
    print("began", flush=True)
    time.sleep(60)


@pytest.mark.parametrize("after_s", [0.0, 0.15, 0.3])
def test_a_process_that_is_killed_leaves_its_work_to_the_next(
    tmp_path: Path, after_s: float
) -> None:
    here = Path(__file__).parent
    code = (
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n"
        f"from pathlib import Path; from test_attaching import begin_slowly\n"
        f"begin_slowly(Path({str(tmp_path)!r}), 0.05)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().decode().strip() for _ in range(4)]
        time.sleep(after_s)
        process.send_signal(signal.SIGKILL)
    files = [line for line in lines if line != "began"]
    stacks, library = new_stacks(tmp_path, TinyEncoder())
    stacks.open()
    until(lambda: all(status(stacks, file) == "completed" for file in files))
    stacks.close()
    documents = documents_of(library)
    assert sorted(f"file-{one.id}" for one in documents) == sorted(files)
    for number in range(3):
        asked = StoreSearch(query=f"boats of number {1000 * number + 7}", max_num_results=1)
        found = stacks.stores.search("vs_it", asked, ANYBODY)
        assert found.data
    library.close()


def stop_while_it_is_attached(folder: Path, by: str) -> None:
    """Remove a file, or cancel its batch, while it is encoded, and stop when it has been put into
    the collection; run by a process to kill."""

    def stop(*_: object) -> bool:
        print("put", flush=True)
        time.sleep(60)
        return False

    Attachments.settle = stop  # type: ignore[method-assign]
    encoder = Slow(0.1)
    stacks, _ = new_stacks(folder, encoder)
    stacks.open()
    stacks.stores.create(NewStore(name="it"), ANYBODY)
    file = upload(stacks, "a.txt", long_text(1))
    batch = stacks.files.attach_batch("vs_it", NewBatch(file_ids=(file,)), ANYBODY)
    encoder.began.wait()
    if by == "removal":
        stacks.uploads.remove(file, ANYBODY)
    else:
        stacks.files.cancel("vs_it", batch.id, ANYBODY)
    time.sleep(60)


@pytest.mark.parametrize("by", ["removal", "cancelling"])
def test_what_was_removed_stays_so_when_its_process_is_killed(tmp_path: Path, by: str) -> None:
    here = Path(__file__).parent
    code = (
        f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n"
        f"from pathlib import Path; from test_attaching import stop_while_it_is_attached\n"
        f"stop_while_it_is_attached(Path({str(tmp_path)!r}), {by!r})"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"put\n"
        process.send_signal(signal.SIGKILL)
    stacks, library = new_stacks(tmp_path, TinyEncoder())
    assert len(documents_of(library)) == 1  # it was put there after it had been removed
    files = stacks.files.page("vs_it", Paging(limit=20), None, ANYBODY).data
    assert [one.status for one in files] == ([] if by == "removal" else ["cancelled"])
    assert stacks.stores.get("vs_it", ANYBODY).file_counts.completed == 0
    assert stacks.stores.search("vs_it", StoreSearch(query="boats"), ANYBODY).data == []
    stacks.open()
    until(lambda: documents_of(library) == [])
    until(lambda: Attachments(library.folder("it")).leaving() == [])
    assert stacks.stores.search("vs_it", StoreSearch(query="boats"), ANYBODY).data == []
    files = stacks.files.page("vs_it", Paging(limit=20), None, ANYBODY).data
    assert [one.status for one in files] == ([] if by == "removal" else ["cancelled"])
    stacks.close()


def test_a_file_that_is_kept_may_be_too_large_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attaching, "_MOST_READ", 10)
    stacks, _ = new_stacks(tmp_path, TinyEncoder())
    stacks.open()
    file = upload(stacks, "a.txt", "the tide turns")
    stacks.stores.create(NewStore(name="it", file_ids=(file,)), ANYBODY)
    until(lambda: status(stacks, file) == "failed")
    error = stacks.files.get("vs_it", file, ANYBODY).last_error
    assert error is not None
    assert error.code == "invalid_file"
    assert error.message.endswith("MB, the most that is read")
    stacks.close()


def test_what_was_attached_before_stays_when_a_batch_is_cancelled(tmp_path: Path) -> None:
    stacks, library = new_stacks(tmp_path, TinyEncoder())
    stacks.open()
    file = upload(stacks, "a.txt", "the tide turns")
    stacks.stores.create(NewStore(name="it", file_ids=(file,)), ANYBODY)
    until(lambda: status(stacks, file) == "completed")
    stacks.close()
    again, library = new_stacks(tmp_path, TinyEncoder())
    again.close()  # so that it attaches nothing
    batch = again.files.attach_batch("vs_it", NewBatch(file_ids=(file,)), ANYBODY)
    again.files.cancel("vs_it", batch.id, ANYBODY)
    last, library = new_stacks(tmp_path, TinyEncoder())
    last.open()
    until(lambda: Attachments(library.folder("it")).leaving() == [])
    assert len(documents_of(library)) == 1
    last.close()


@pytest.mark.parametrize("by", ["search", "time"])
def test_what_has_expired_is_found_no_more(
    tmp_path: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "time":
        monkeypatch.setattr(attaching, "_TIDY_S", 0.05)
    stacks, library = new_stacks(tmp_path, TinyEncoder())
    stacks.open()
    file = upload(stacks, "a.txt", "the tide turns", expires_s=1.0)
    stacks.stores.create(NewStore(name="it", file_ids=(file,)), ANYBODY)
    until(lambda: status(stacks, file) == "completed")
    assert stacks.stores.search("vs_it", StoreSearch(query="tide"), ANYBODY).data
    time.sleep(1.0)
    if by == "search":
        assert stacks.stores.search("vs_it", StoreSearch(query="tide"), ANYBODY).data == []
    until(lambda: documents_of(library) == [])
    stacks.close()


def test_what_is_being_attached_when_shoal_ends_is_attached_later(tmp_path: Path) -> None:
    encoder = Slow(0.2)
    stacks, _ = new_stacks(tmp_path, encoder)
    stacks.open()
    stacks.stores.create(NewStore(name="it"), ANYBODY)
    file = upload(stacks, "a.txt", long_text(1))
    stacks.files.attach("vs_it", NewStoreFile(file_id=file), ANYBODY)
    assert encoder.began.wait(10)
    began = time.monotonic()
    stacks.close()
    assert time.monotonic() - began < 3
    again, library = new_stacks(tmp_path, TinyEncoder())
    assert status(again, file) == "in_progress"
    again.open()
    until(lambda: status(again, file) == "completed")
    assert len(documents_of(library)) == 1
    again.close()


@pytest.mark.parametrize("way", ["detached", "removed", "store removed", "collection made anew"])
def test_what_is_taken_out_while_it_is_attached_stays_out(tmp_path: Path, way: str) -> None:
    encoder = Slow(0.1)
    stacks, library = new_stacks(tmp_path, encoder)
    stacks.open()
    stacks.stores.create(NewStore(name="it"), ANYBODY)
    file = upload(stacks, "a.txt", long_text(1))
    stacks.files.attach("vs_it", NewStoreFile(file_id=file), ANYBODY)
    assert encoder.began.wait(10)
    if way == "detached":
        stacks.files.detach("vs_it", file, ANYBODY)
    elif way == "removed":
        stacks.uploads.remove(file, ANYBODY)
    else:
        stacks.stores.remove("vs_it", ANYBODY)
        if way == "collection made anew":
            stacks.stores.create(NewStore(name="it"), ANYBODY)
    other = stacks.stores.create(NewStore(name="other"), ANYBODY)
    last = upload(stacks, "b.txt", "rye bread")
    stacks.files.attach(other.id, NewStoreFile(file_id=last), ANYBODY)
    until(lambda: stacks.files.get(other.id, last, ANYBODY).status == "completed")
    if way == "store removed":
        assert library.names() == ["other"]
    else:
        assert documents_of(library) == []
        with pytest.raises(NotFound):
            status(stacks, file)
    stacks.close()


def test_a_store_that_is_removed_or_damaged_holds_up_no_other(tmp_path: Path) -> None:
    encoder = Slow(0.1)
    stacks, library = new_stacks(tmp_path, encoder)
    names = ("damaged", "removed", "whole")
    files = [upload(stacks, f"{name}.txt", long_text(1)) for name in names]
    for name, file in zip(names, files, strict=True):
        stacks.stores.create(NewStore(name=name, file_ids=(file,)), ANYBODY)
    (library.folder("damaged") / "store.db").write_bytes(b"no SQLite" * 1_000)
    stacks.open()
    assert encoder.began.wait(10)
    stacks.stores.remove("vs_removed", ANYBODY)
    until(lambda: stacks.files.get("vs_whole", files[2], ANYBODY).status == "completed")
    with pytest.raises(StoreDamaged):
        stacks.stores.get("vs_damaged", ANYBODY)
    stacks.close()


def test_a_collection_that_is_damaged_is_left_out_of_the_list(tmp_path: Path) -> None:
    stacks, library = new_stacks(tmp_path, TinyEncoder())
    for name in ("damaged", "whole"):
        library.create(name)
    library.close()
    (library.folder("damaged") / "collection.db").write_bytes(b"no SQLite" * 1_000)
    page = stacks.stores.page(Paging(limit=20), ANYBODY)
    assert [store.id for store in page.data] == ["vs_whole"]


@pytest.mark.parametrize("table", ["collection.db", "store.db"])
@pytest.mark.parametrize("damage", [b"", b"no SQLite" * 1_000])
def test_a_collection_that_is_damaged_can_be_removed_and_holds_up_nothing(
    tmp_path: Path, table: str, damage: bytes
) -> None:
    stacks, library = new_stacks(tmp_path, TinyEncoder())
    file = upload(stacks, "a.txt", "the tide turns")
    for name in ("damaged", "it"):
        stacks.stores.create(NewStore(name=name, file_ids=(file,)), ANYBODY)
    stacks.open()
    until(lambda: status(stacks, file) == "completed")
    until(lambda: stacks.files.get("vs_damaged", file, ANYBODY).status == "completed")
    library.close()
    for left in ("", "-wal", "-shm"):
        (library.folder("it").parent / "damaged" / f"{table}{left}").unlink(missing_ok=True)
    (library.folder("it").parent / "damaged" / table).write_bytes(damage)
    assert stacks.uploads.remove(file, ANYBODY).deleted
    assert documents_of(library) == []
    if table == "store.db":  # it can be searched all the same
        with library.using("damaged") as collection:
            assert collection.shelf.documents() == []
    assert stacks.stores.remove("vs_damaged", ANYBODY).deleted
    assert library.names() == ["it"]
    with pytest.raises(NotFound, match="no vector store"):
        stacks.stores.remove("vs_damaged", ANYBODY)
    stacks.close()


def test_a_damaged_table_of_files_stops_nothing_else(tmp_path: Path) -> None:
    stacks, _ = new_stacks(tmp_path, TinyEncoder())
    upload(stacks, "a.txt", "tide")
    (tmp_path / "files" / "files.db").write_bytes(b"no SQLite" * 1_000)
    stacks.open()
    assert stacks.stores.create(NewStore(name="it"), ANYBODY).status == "completed"
    with pytest.raises(StoreDamaged):
        stacks.uploads.begin()
    stacks.close()


def test_two_processes_attach_each_file_once(tmp_path: Path) -> None:
    encoders = Slow(0.02), Slow(0.02)
    one, library = new_stacks(tmp_path, encoders[0])
    other, _ = new_stacks(tmp_path, encoders[1])
    one.stores.create(NewStore(name="it"), ANYBODY)
    one.open()
    other.open()
    files = [upload(one, f"{n}.txt", f"tide number {n}") for n in range(6)]
    for number, file in enumerate(files):
        (one, other)[number % 2].files.attach("vs_it", NewStoreFile(file_id=file), ANYBODY)
    until(lambda: all(status(one, file) == "completed" for file in files))
    texts = [text for each in encoders for text in each.encoded if "number" in text]
    assert len(texts) == len(set(texts)) == 6
    assert len(documents_of(library)) == 6
    one.close()
    other.close()


def test_a_file_that_is_attached_again_is_there_once(tmp_path: Path) -> None:
    stacks, library = new_stacks(tmp_path, TinyEncoder())
    stacks.open()
    file = upload(stacks, "a.txt", "the tide turns")
    stacks.stores.create(NewStore(name="it", file_ids=(file,)), ANYBODY)
    until(lambda: status(stacks, file) == "completed")
    again = NewStoreFile(file_id=file, attributes={"new": True})
    stacks.files.attach("vs_it", again, ANYBODY)
    until(lambda: status(stacks, file) == "completed")
    (document,) = documents_of(library)
    assert document.attributes == {"kind": "text", "file": "a.txt", "new": True}
    assert stacks.stores.get("vs_it", ANYBODY).file_counts.total == 1
    stacks.close()


def test_without_an_encoder_the_file_says_so(tmp_path: Path) -> None:
    stacks, _ = new_stacks(tmp_path, TinyEncoder())
    stacks.stores.create(NewStore(name="it"), ANYBODY)
    stacks.close()

    def missing() -> TinyEncoder:
        raise EncoderMissing("collections need the local encoder: no weights")

    library = Library(tmp_path / "collections", missing)
    bare = Stacks(library, Uploads(tmp_path / "files"), missing)
    bare.open()
    file = upload(bare, "a.txt", "the tide turns")
    bare.files.attach("vs_it", NewStoreFile(file_id=file), ANYBODY)
    until(lambda: status(bare, file) == "failed")
    error = bare.files.get("vs_it", file, ANYBODY).last_error
    assert error is not None
    assert (error.code, "no weights" in error.message) == ("server_error", True)
    with pytest.raises(EncoderMissing):
        bare.stores.search("vs_it", StoreSearch(query="tide"), ANYBODY)
    assert bare.stores.get("vs_it", ANYBODY).file_counts.failed == 1
    bare.close()


def test_a_store_of_files_of_the_machine_is_not_deleted_by_everybody(tmp_path: Path) -> None:
    stacks, library = new_stacks(tmp_path, TinyEncoder())
    (tmp_path / "note.txt").write_text("Dippers walk.")
    library.create("rivers")
    with library.using("rivers") as rivers:
        rivers.add_sources([tmp_path / "note.txt"])
    with pytest.raises(NotAllowed, match="shoal collections remove rivers"):
        stacks.stores.remove("vs_rivers", ANYBODY)
    admin = Caller(key="k", name="k", spec=KeySpec(scopes=("call", "admin")))
    assert stacks.stores.remove("vs_rivers", admin).deleted
