"""Search where very many passages are the same."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from shelves import new_shelf, vector_of, written

from shoal.retrieval import search as parts
from shoal.retrieval.indexes import Indexes
from shoal.retrieval.search import By, Search, SearchOptions
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_tables import Vectors


class Encodes:
    """Vectors of whole texts; counts the queries."""

    asked = 0

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.asked += 1
        return np.array([vector_of(text) for text in texts])


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Of what matches "otters", 700 passages are the same, 5 have other words, and 5 the same words
    under another heading; these are longer, and so come last."""
    shelf = new_shelf(tmp_path)
    other = [f"otters {number} of all the rivers and brooks" for number in range(5)]
    shelf.put([written("log", *["otters swim"] * 700), written("book", *other)])
    shelf.put([written("a far longer name of a paper", *["otters swim"] * 5)])
    return shelf


@pytest.fixture
def search(tmp_path: Path, shelf: Shelf) -> Search:
    indexes = Indexes(tmp_path, shelf)
    indexes.follow()
    return Search(shelf, indexes, Encodes())


def test_texts_are_loaded_of_those_that_are_told_only(
    search: Search, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = list[int]()
    passages = shelf.passages
    monkeypatch.setattr(shelf, "passages", lambda asked: loaded.extend(asked) or passages(asked))
    found = search.find("otters", SearchOptions(k=6, by="words"))
    assert [hit.passage.text[:8] for hit in found] == [
        "otters s",
        *(f"otters {n}" for n in range(5)),
    ]
    assert len(set(loaded)) <= 20


@pytest.mark.parametrize("by", ["words", "meaning", "both"])
def test_it_ends_where_there_are_no_more(search: Search, by: By) -> None:
    found = search.find("otters swim", SearchOptions(k=50, by=by))
    assert len(found) == len({hit.passage.text for hit in found}) == 6
    assert len(search.find("otters swim", SearchOptions(k=50, by=by, distinct=False))) == 50


def test_it_looks_through_so_many_only(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_MOST_POOL", 500)
    found = search.find("otters swim", SearchOptions(k=6, by="words"))
    assert [hit.passage.text for hit in found] == ["otters swim"]
    assert len(search.find("otters swim", SearchOptions(k=600, by="words"))) == 6


def test_a_query_is_encoded_once(tmp_path: Path, shelf: Shelf) -> None:
    indexes, encoder = Indexes(tmp_path, shelf), Encodes()
    indexes.follow()
    Search(shelf, indexes, encoder).find("otters swim", SearchOptions(k=6))
    assert encoder.asked == 1


def test_digests_tell_equal_words(shelf: Shelf) -> None:
    digests = shelf.digests_of([1, 2, 701, 706, 9_999])
    assert digests[1] == digests[2]
    assert len({*digests.values()}) == 3
    assert list(digests) == [1, 2, 701, 706]
