"""A collection as one file: what comes along, what stays behind, and what is refused."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from shoal.errors import StoreDamaged, StoreError
from shoal.retrieval.adapter import Adapter, digest_of
from shoal.retrieval.attachments import Attachment, Attachments, Terms
from shoal.retrieval.collection import Collection, collections_in
from shoal.retrieval.gain import GainCertificate, begin_attempt, next_attempt
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.transfer import export_collection, import_collection
from shoal.retrieval.tuned import FOLDER, Tuned, certificate_in, install
from tiny_encoder import TinyEncoder

ENCODER = TinyEncoder()


@pytest.fixture
def rivers(tmp_path: Path) -> Path:
    folder = tmp_path / "collections" / "rivers"
    with closing(Collection.create(folder, ENCODER)) as found:
        found.intake.add("note", b"Dippers walk.")
        found.intake.add("file-1/eel.txt", b"Eels swim far.", {"by": "ann"}, id="1")
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rivers.shoal"


@pytest.fixture
def streams(tmp_path: Path) -> Path:
    return tmp_path / "collections" / "streams"


def tune(folder: Path) -> GainCertificate:
    begin_attempt(folder / FOLDER)
    rows = np.random.default_rng(0).standard_normal((24, 2)).astype(np.float32)
    data = Adapter(rows, rows.T, words=0.25).packed()
    certificate = GainCertificate(
        what="adapter",
        collection="rivers",
        n=100,
        gained=40,
        lost=2,
        bound=0.8,
        before=0.5,
        after=0.7,
        confidence=0.95,
        attempt=1,
        delta_spent=0.025,
        trained_on=200,
        data_digest="sha256:0",
        encoder=ENCODER.digest,
        model=digest_of(data),
        issued_at=1.0,
    )
    install(folder / FOLDER, data, certificate)
    return certificate


def tell(folder: Path) -> None:
    said = Attachments(folder)
    said.say(Terms(title="Rivers", metadata={"team": "water"}, days=1, active_at=1.0))
    rows = [
        Attachment(file="file-1", at=1.0, state="completed", attributes={"by": "ann"}),
        Attachment(file="file-2", at=2.0),
    ]
    said.attach(rows, together=True)


def test_what_it_was_tuned_to_comes_along(rivers: Path, file: Path, streams: Path) -> None:
    certificate = tune(rivers)
    model = Path("reranker") / "models" / "ab12" / "model.safetensors"
    (rivers / model).parent.mkdir(parents=True)
    (rivers / model).write_bytes(b"weights")
    export_collection(rivers, file)
    import_collection(file, streams)
    assert (streams / model).read_bytes() == b"weights"
    assert certificate_in(streams / FOLDER) == certificate
    old, new = (Tuned(one / FOLDER, ENCODER.digest).now().adapter for one in (rivers, streams))
    assert old is not None
    assert new is not None
    assert new.packed() == old.packed()
    assert next_attempt(streams / FOLDER) == 2  # what was spent stays spent
    assert [path.name for path in file.parent.iterdir() if path.name.startswith(".")] == []


def test_what_was_said_by_api_comes_along(rivers: Path, file: Path, streams: Path) -> None:
    tell(rivers)
    export_collection(rivers, file)
    import_collection(file, streams)
    said = Attachments(streams)
    terms = said.terms()
    assert terms is not None
    assert (terms.title, terms.metadata, terms.days) == ("Rivers", {"team": "water"}, 1)
    assert terms.active_at > time.time() - 60  # it would have expired on its way
    (one,) = said.said()  # no other: its upload is not here
    assert (one.file, one.state, one.attributes) == ("file-1", "completed", {"by": "ann"})
    with closing(Shelf.open(streams)) as shelf:
        assert shelf.document("1").name == "file-1/eel.txt"


def test_what_is_on_its_way_out_stays_behind(rivers: Path, file: Path, streams: Path) -> None:
    said = Attachments(rivers)
    said.attach([Attachment(file="file-1", at=1.0)])
    assert said.detach("file-1")  # it may be being attached, so it is still there
    export_collection(rivers, file)
    assert b"Eels swim" not in file.read_bytes()
    import_collection(file, streams)
    with closing(Shelf.open(streams)) as shelf:
        assert [one.name for one in shelf.documents()] == ["note"]
    with closing(Shelf.open(rivers)) as shelf:
        assert shelf.counts()[0] == 2


def test_a_file_of_an_earlier_shoal(rivers: Path, file: Path, streams: Path) -> None:
    tune(rivers)
    with closing(Shelf.open(rivers)) as shelf:
        shelf.copy_to(file)
    import_collection(file, streams)
    with closing(Collection(streams, ENCODER)) as found:
        assert found.search("dippers")[0].document.name == "note"
    assert certificate_in(streams / FOLDER) is None


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE passages SET text = 'Dippers fly.' WHERE number = 1", "shelf"),
        ("UPDATE vectors SET vector = zeroblob(length(vector)) WHERE number = 1", "shelf"),
        ("DELETE FROM documents WHERE number = 1", "shelf"),
        ("UPDATE carried SET data = x'00' WHERE name LIKE '%.safetensors'", "adapter/"),
        ("UPDATE carried SET data = '[]' WHERE name = 'said.json'", "said.json"),
        ("DELETE FROM carried WHERE name LIKE '%.safetensors'", "cannot be read"),
    ],
)
def test_a_damaged_file_is_refused(
    rivers: Path, file: Path, streams: Path, change: str, what: str
) -> None:
    tune(rivers)
    tell(rivers)
    export_collection(rivers, file)
    with closing(sqlite3.connect(file, isolation_level=None)) as conn:
        assert conn.execute(change).rowcount == 1
    with pytest.raises(StoreDamaged, match=f"damaged: .*{what}"):
        import_collection(file, streams)
    assert collections_in(streams.parent) == ["rivers"]
    assert [path.name for path in streams.parent.iterdir()] == ["rivers"]


def test_nothing_is_written_elsewhere(rivers: Path, file: Path, streams: Path) -> None:
    export_collection(rivers, file)
    with closing(sqlite3.connect(file, isolation_level=None)) as conn:
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        for name in ("adapter/../../evil", "/evil", "collection.db", "adapter/.."):
            conn.execute("INSERT INTO carried VALUES (?, ?, x'')", (name, empty))
    with pytest.raises(StoreDamaged, match="no such thing"):
        import_collection(file, streams)
    assert not list(file.parent.rglob("evil"))


def test_no_file_is_written_over(rivers: Path, file: Path) -> None:
    file.write_bytes(b"mine")
    with pytest.raises(StoreError, match="is there already"):
        export_collection(rivers, file)
    assert file.read_bytes() == b"mine"
    with pytest.raises(StoreError, match="its folder is not there"):
        export_collection(rivers, file / "deep" / "file")
