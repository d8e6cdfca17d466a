"""Vectors on disk and in Qdrant: the same is found in both. Qdrant is its own local mode."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filter_choices import KEYS, VALUES, filters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shelves import DIM, new_shelf, vector_of, written

from shoal.errors import ConfigError, MalformedRequest, MissingExtra, StoreError
from shoal.retrieval import qdrant_filters
from shoal.retrieval.attributes import Attributes
from shoal.retrieval.collection import Collection
from shoal.retrieval.columns import Columns
from shoal.retrieval.documents import Value
from shoal.retrieval.filter_text import filter_from_text
from shoal.retrieval.filters import Filter
from shoal.retrieval.nearest import Nearest, OnDisk
from shoal.retrieval.options import CollectionOptions
from shoal.retrieval.qdrant import OnQdrant, QdrantPlace
from shoal.retrieval.search import SearchOptions
from shoal.retrieval.shelf import Shelf
from tiny_encoder import TinyEncoder

qdrant_client = pytest.importorskip("qdrant_client")

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect")

Makes = Callable[[Shelf], Nearest]
MEMORY = QdrantPlace(":memory:")


@pytest.fixture
def client() -> Iterator[Any]:
    found = MEMORY.client()
    yield found
    found.close()


@pytest.fixture(params=["disk", "qdrant"])
def makes(request: pytest.FixtureRequest, tmp_path: Path, client: Any) -> Makes:
    """Makes an index of a shelf: the same one again, as another process would have it."""
    if request.param == "disk":
        return lambda shelf: OnDisk(tmp_path / "vectors", shelf, Attributes(shelf))
    return lambda shelf: OnQdrant(client, "rivers", shelf, Attributes(shelf))


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    found = new_shelf(tmp_path)
    yield found
    found.close()


def texts(shelf: Shelf, index: Nearest, query: str, k: int = 10, where: str = "") -> list[str]:
    asked = filter_from_text(where) if where else None
    numbers, cosines = index.nearest(vector_of(query), k, asked)
    assert len(numbers) == len(cosines) <= k
    assert sorted(cosines, reverse=True) == cosines.tolist()
    found = shelf.passages(numbers.tolist())
    return [found[number].text for number in numbers.tolist()]


def test_the_nearest_passages_are_found(makes: Makes, shelf: Shelf) -> None:
    words = [f"passage {n}|part {n}" for n in range(40)]
    shelf.put([written(f"{n}", *words[n : n + 4]) for n in range(0, 40, 4)])
    index = makes(shelf)
    index.follow(60)
    numbers, cosines = index.nearest(vector_of("part 7"), 5, None)
    every = {
        text: max(vector_of(p) @ vector_of("part 7") for p in text.split("|")) for text in words
    }
    best = sorted(every, key=lambda text: -every[text])[:5]
    assert [shelf.passages([n])[n].text for n in numbers.tolist()] == best
    assert cosines == pytest.approx([every[text] for text in best], abs=2e-3)
    assert len(index.nearest(vector_of("part 7"), 100, None)[0]) == 40
    assert index.nearest(np.zeros(DIM, np.float32), 3, None)[1].tolist() == [0, 0, 0]
    longer = index.nearest(vector_of("part 7") * 7, 5, None)
    assert longer[0].tolist() == numbers.tolist()
    assert longer[1] == pytest.approx(cosines, abs=1e-5)


def test_an_empty_shelf_has_nothing(makes: Makes, shelf: Shelf) -> None:
    index = makes(shelf)
    index.follow(60)
    assert texts(shelf, index, "a") == []
    shelf.put([written("empty"), written("one", "a")])
    index.follow(60)
    assert texts(shelf, index, "a") == ["a"]


def test_removals_and_replacements_are_followed(makes: Makes, shelf: Shelf) -> None:
    shelf.put([written("one", "a", "b"), written("two", "c")])
    index = makes(shelf)
    index.follow(60)
    shelf.put([written("one", "d")])
    shelf.remove(["two"])
    assert set(texts(shelf, index, "a")) <= {"d"}  # gone is gone, even before it is followed
    index.follow(60)
    assert texts(shelf, index, "a") == ["d"]
    shelf.remove(["one"])
    index.follow(60)
    assert texts(shelf, index, "a") == []


def test_filters_see_attributes_as_they_are_now(makes: Makes, shelf: Shelf) -> None:
    shelf.put([written("one", "a", "b", lang="de"), written("two", "c", lang="en", year=2020.0)])
    index = makes(shelf)
    index.follow(60)
    assert set(texts(shelf, index, "a", where='lang = "de"')) == {"a", "b"}
    assert texts(shelf, index, "a", where="year != 2020 and lang >= 'de'") == ["a", "b"]
    shelf.describe(shelf.document("one").id, {"lang": "en"})
    index.follow(60)
    assert set(texts(shelf, index, "a", where='lang = "en"')) == {"a", "b", "c"}
    with pytest.raises(MalformedRequest, match="no document has an attribute 'lung'"):
        index.nearest(vector_of("a"), 1, filter_from_text("lung = 1"))


def test_a_restart_goes_on_where_it_was(makes: Makes, shelf: Shelf) -> None:
    shelf.put([written("one", "a"), written("two", "b")])
    makes(shelf).follow(60)
    shelf.remove(["one"])
    shelf.put([written("three", "c")])
    again, other = makes(shelf), makes(shelf)
    again.follow(60)
    assert set(texts(shelf, again, "a")) == {"b", "c"}
    other.follow(60)
    assert set(texts(shelf, other, "a")) == {"b", "c"}


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    there=st.lists(
        st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=4),
        min_size=1,
        max_size=6,
    ),
    where=filters(),
)
def test_a_filter_means_the_same_in_qdrant(there: list[dict[str, Value]], where: Filter) -> None:
    """``Columns`` says what they mean, as the tests of filters see to."""
    columns = Columns(enumerate(there, start=1))
    try:
        expected = np.flatnonzero(columns.matching(where)).tolist()
    except MalformedRequest:
        return
    api = qdrant_filters.models()
    from qdrant_client.local.payload_filters import check_filter

    asked = api.Filter(must=[qdrant_filters.translated(where, columns.texts(where))])
    found = [
        number
        for number, attributes in enumerate(there, start=1)
        if check_filter(asked, qdrant_filters.fields_of(attributes), number, {})
    ]
    assert found == expected


@given(*(st.sampled_from(KEYS) | st.text(max_size=8) for _ in range(2)))
def test_fields_are_told_apart(one: str, other: str) -> None:
    found = qdrant_filters.field_of(one, 1.0)
    assert (found == qdrant_filters.field_of(other, 1.0)) == (one == other)
    assert found.isascii()
    assert found.replace("_", "a").replace("-", "a").isalnum()


def test_several_gateways_share_one_index(shelf: Shelf, client: Any) -> None:
    one, other = (OnQdrant(client, "rivers", shelf, Attributes(shelf)) for _ in range(2))
    shelf.put([written("one", "a", year=1.0), written("two", "b", year=2.0)])
    one.follow(60)
    inserted = Counted(client)
    other._client = inserted
    other.follow(60)
    assert texts(shelf, other, "a", where="year = 1") == ["a"]
    assert inserted.points == 0  # it was all there
    shelf.put([written("three", "c")])
    other.follow(60)
    other.follow(60)
    assert inserted.points == 2  # the new vector, and how far the shelf was read


class Counted:
    """A client that counts the points it is given."""

    def __init__(self, client: Any) -> None:
        self._client, self.points = client, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def upsert(self, name: str, points: list[Any], **rest: Any) -> None:
        self.points += len(points)
        self._client.upsert(name, points, **rest)


def test_what_comes_late_does_no_harm(shelf: Shelf, client: Any) -> None:
    """One gateway reads the shelf, stands still while another goes on, and then writes."""
    late, other = (OnQdrant(client, "rivers", shelf, Attributes(shelf)) for _ in range(2))
    shelf.put([written("one", "a", lang="de"), written("two", "b", lang="de")])
    late.follow(60)
    shelf.put([written("three", "c", lang="de")])
    known = late._read()
    count, documents = shelf.described(known.changes)
    shelf.describe(shelf.document("three").id, {"lang": "en"})
    shelf.remove(["two"])
    other.follow(60)
    late._insert(documents, known, count)
    late._describe(documents, count)
    late._write(type(known)(documents[-1].last_vector, late._remove(known), count))
    for index in (late, other, OnQdrant(client, "rivers", shelf, Attributes(shelf))):
        index.follow(60)
        assert set(texts(shelf, index, "a")) == {"a", "c"}
        assert texts(shelf, index, "a", where='lang = "en"') == ["c"]
    assert client.count(late.name).count == 3  # two vectors, and how far the shelf was read


def test_many_are_taken_in_by_slices(
    shelf: Shelf, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.retrieval.qdrant._SLICE", 7)
    monkeypatch.setattr("shoal.retrieval.qdrant._SAY_EVERY", 20)
    index = OnQdrant(client, "rivers", shelf, Attributes(shelf))
    shelf.put([written(f"{n}", *(f"{n} {m}" for m in range(n % 5)), n=float(n)) for n in range(60)])

    class Killed(Exception):
        pass

    def kill(documents: object, count: object) -> None:
        raise Killed

    monkeypatch.setattr(index, "_describe", kill)
    with pytest.raises(Killed):
        index.follow(60)
    assert index._read().added > 20  # what another may go on from
    again = OnQdrant(client, "rivers", shelf, Attributes(shelf))
    again.follow(60)
    assert len(again.nearest(vector_of("a"), 1_000, None)[0]) == 120
    shelf.remove([f"{n}" for n in range(0, 60, 2)])
    again.follow(60)
    assert client.count(again.name).count == 60 + 1
    for n in (1, 3):
        shelf.describe(shelf.document(f"{n}").id, {"n": -1.0})
    again.follow(60)
    assert len(texts(shelf, again, "a", where="n = -1")) == 4
    client.delete_collection(again.name)  # by somebody else
    assert len(texts(shelf, again, "a", where="n = -1")) == 4
    assert client.count(again.name).count == 60 + 1


def test_a_collection_made_again_is_another_one(tmp_path: Path, client: Any) -> None:
    old = new_shelf(tmp_path / "old")
    old.put([written("one", "a")])
    OnQdrant(client, "rivers", old, Attributes(old)).follow(60)
    new = new_shelf(tmp_path / "new")
    new.put([written("one", "b")])
    index = OnQdrant(client, "rivers", new, Attributes(new))
    index.follow(60)
    assert texts(new, index, "a") == ["b"]


def test_a_folder_keeps_it(tmp_path: Path, shelf: Shelf) -> None:
    place = QdrantPlace(str(tmp_path / "qdrant"))
    shelf.put([written("one", "a", lang="de")])
    first = OnQdrant.at(place, "rivers", shelf, Attributes(shelf))
    first.follow(60)
    with pytest.raises(StoreError, match="Qdrant"):  # one process may have it open
        place.client()
    first.close()
    again = OnQdrant.at(place, "rivers", shelf, Attributes(shelf))
    again._client = counted = Counted(again._client)
    again.follow(60)
    assert counted.points == 0
    assert texts(shelf, again, "a", where="lang < 'e'") == ["a"]


def test_fields_are_indexed_on_a_server(shelf: Shelf, client: Any) -> None:
    index = OnQdrant(client, "rivers", shelf, Attributes(shelf))
    index._indexed, index._client = set(), Versioned(client, "1.17.2")
    shelf.put([written("one", "a", lang="de", year=1.0, draft=True)])
    index.follow(60)
    assert index._indexed == {"document", "changed", "text-lang", "number-year", "flag-draft"}


class Versioned:
    """A client of a server of some version."""

    def __init__(self, client: Any, version: str) -> None:
        self._client, self.version = client, version

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def info(self) -> "Versioned":
        return self


def test_a_server_that_is_too_old_is_refused(shelf: Shelf, client: Any) -> None:
    index = OnQdrant(Versioned(client, "1.9.4"), "rivers", shelf, Attributes(shelf))
    index._indexed = set()
    shelf.put([written("one", "a")])
    with pytest.raises(StoreError, match=r"Qdrant is 1\.9\.4; it has to be 1\.17 or later"):
        index.follow(60)


def test_a_collection_searches_qdrant(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "herons.txt").write_text("Herons stand still and wait for fish.")
    (files / "voles.txt").write_text("Voles swim.")
    found = Collection.create(tmp_path / "rivers", TinyEncoder(), qdrant=MEMORY)
    found.add_sources([files])
    found.sync()
    (hit,) = found.search("Voles swim.", SearchOptions(by="meaning", k=1))
    assert Path(hit.document.name).name == "voles.txt"
    assert not (tmp_path / "rivers" / "vectors").exists()
    found.close()


def test_a_server_that_is_not_there_is_named(shelf: Shelf) -> None:
    shelf.put([written("one", "a")])
    index = OnQdrant.at(QdrantPlace("http://127.0.0.1:9"), "rivers", shelf, Attributes(shelf))
    with pytest.raises(StoreError, match=r"Qdrant, shoal-rivers-.*: .*refused.*is the key right"):
        index.follow(60)


def test_a_key_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        QdrantPlace("http://127.0.0.1:9", "MY_KEY").client()


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "qdrant_client", None)
    qdrant_filters.models.cache_clear()
    with pytest.raises(MissingExtra, match=r"shoal\[qdrant\]"):
        MEMORY.client()


def test_options_name_a_place() -> None:
    assert CollectionOptions().qdrant is None
    options = CollectionOptions(qdrant_url="https://q.example:6333", qdrant_key_env="KEY")
    assert options.qdrant == QdrantPlace("https://q.example:6333", "KEY")
    with pytest.raises(ValueError, match="qdrant_url"):
        CollectionOptions(qdrant_url="q.example")
    with pytest.raises(ValueError, match="qdrant_key_env"):
        CollectionOptions(qdrant_key_env="KEY")
