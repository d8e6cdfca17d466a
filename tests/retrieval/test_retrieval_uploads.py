"""Uploaded files: kept whole or not at all."""

import os
import time
from pathlib import Path

import pytest

from shoal.errors import BodyTooLarge, NotFound, StoreDamaged, UploadsFull
from shoal.retrieval.uploads import Incoming, Upload, Uploads


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "files", most_bytes=10)


def sent(uploads: Uploads, data: bytes = b"tide", owner: str = "", **said: float) -> Upload:
    incoming = uploads.begin()
    incoming.write(data)
    return uploads.keep(incoming, owner, "a.txt", "assistants", **said)


def test_what_is_kept_is_there_for_another_process_too(uploads: Uploads, tmp_path: Path) -> None:
    kept = sent(uploads)
    other = Uploads(tmp_path / "files")
    assert other.get(kept.id) == kept
    assert other.path(kept.id).read_bytes() == b"tide"
    assert other.owned() == [kept]


def test_nothing_is_made_by_asking(uploads: Uploads) -> None:
    with pytest.raises(NotFound):
        uploads.get("file-x")
    assert (uploads.owned(), uploads.expired(), uploads.sweep()) == ([], [], 0)
    assert uploads.gone("files", "x") is None
    assert not uploads.folder.exists()


def test_owners_and_purposes(uploads: Uploads) -> None:
    mine, theirs = sent(uploads, owner="me"), sent(uploads, owner="them")
    assert uploads.owned("me") == [mine]
    assert uploads.owned() == [mine, theirs]
    assert uploads.owned(None, "batch") == []
    assert uploads.get(theirs.id, "them") == theirs
    with pytest.raises(NotFound):
        uploads.get(theirs.id, "me")


def test_one_that_is_too_large_leaves_nothing(uploads: Uploads) -> None:
    incoming: Incoming = uploads.begin()
    incoming.write(b"0123456789")
    with pytest.raises(BodyTooLarge):
        incoming.write(b"x")
    incoming.drop()
    assert list(uploads.folder.iterdir()) == []


def test_all_together_have_a_limit(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "files", most_bytes=10, most_total=12)
    first = sent(uploads, b"01234567")
    with pytest.raises(UploadsFull, match="max_files_gb"):
        uploads.begin(expected=5)
    one, two = uploads.begin(), uploads.begin()
    one.write(b"0123")
    two.write(b"0123")
    with pytest.raises(UploadsFull):
        two.write(b"4")
    kept = uploads.keep(one, "", "a.txt", "assistants")
    with pytest.raises(UploadsFull):  # both began while there was room
        uploads.keep(two, "", "b.txt", "assistants")
    two.drop()
    with pytest.raises(UploadsFull):
        uploads.begin()
    assert uploads.owned() == [first, kept]
    there = {path.name for path in uploads.folder.glob("file-*")}
    assert there == {first.id, kept.id}
    uploads.remove(first.id)
    slow = uploads.begin()
    slow.write(b"01234567")
    slow._file.flush()
    with pytest.raises(UploadsFull):  # what is coming in counts
        uploads.begin()
    slow.drop()
    uploads.begin(expected=8).drop()


def test_one_that_expires(uploads: Uploads) -> None:
    kept = sent(uploads, expires_s=0.0)
    assert uploads.expired() == [kept.id]
    assert uploads.owned() == []
    with pytest.raises(NotFound):
        uploads.get(kept.id)
    uploads.remove(kept.id)
    assert uploads.expired() == []


def test_one_that_is_removed_is_remembered_by_when_it_was_made(uploads: Uploads) -> None:
    kept = sent(uploads)
    uploads.remove(kept.id)
    assert uploads.gone("files", kept.id) == kept.created_at
    assert uploads.gone("others", kept.id) is None
    assert not uploads.path(kept.id).exists()
    with pytest.raises(NotFound):
        uploads.remove(kept.id)


def test_bytes_that_nobody_knows_are_swept_but_not_what_is_under_way(uploads: Uploads) -> None:
    kept, under_way, broken_off = sent(uploads), uploads.begin(), uploads.begin()
    unknown = uploads.folder / "file-killed-before-its-row"
    unknown.write_bytes(b"x")
    long_ago = time.time() - 7_200
    for path in (broken_off.path, unknown, uploads.path(kept.id)):
        os.utime(path, (long_ago, long_ago))
    assert uploads.sweep() == 2
    left = {path.name for path in uploads.folder.glob("file-*")}
    assert left == {kept.id, under_way.path.name}


def test_a_damaged_table_is_told(uploads: Uploads) -> None:
    sent(uploads)
    (uploads.folder / "files.db").write_bytes(b"not SQLite" * 1_000)
    with pytest.raises(StoreDamaged):
        uploads.owned()
