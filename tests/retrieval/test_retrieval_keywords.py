"""Search by words: what is there is found, what is gone is not, and nothing is interpreted."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelves import new_shelf, written

from shoal.retrieval.cursor import Cursor
from shoal.retrieval.keywords import Keywords
from shoal.retrieval.shelf import Shelf

DAMAGES = (
    "no state",
    "state of another format",
    "state of another shelf",
    "no index",
    "half an index",
)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = new_shelf(tmp_path / "notes")
    shelf.put(
        [
            written(
                "zoo", "Otters eat fish.", "The café opens at nine.", "Order ORD-1234 is late."
            ),
            written("otter", "They live in rivers."),
        ]
    )
    return shelf


@pytest.fixture
def keywords(tmp_path: Path, shelf: Shelf) -> Keywords:
    found = Keywords(tmp_path / "notes" / "keywords", "made")
    found.follow(shelf)
    return found


def numbers(
    keywords: Keywords, query: str, k: int = 10, allowed: list[int] | None = None
) -> list[int]:
    only = None if allowed is None else np.array(allowed, np.int64)
    return keywords.search(query, k, only)[0].tolist()


def test_words_are_found_by_their_stems_and_without_accents(keywords: Keywords) -> None:
    assert numbers(keywords, "an OTTER") == [1, 4]  # in the text; in a heading
    assert numbers(keywords, "cafes") == [2]
    assert numbers(keywords, "where is ord-1234?")[0] == 3
    assert numbers(keywords, "penguin") == []
    assert numbers(keywords, "") == []


@pytest.mark.parametrize(
    "query", ['"', "text:otter", "(", "AND OR NOT", "a" * 200_000, "\ud800", "*"]
)
def test_a_query_is_words_and_no_language(keywords: Keywords, query: str) -> None:
    found = numbers(keywords, query)
    assert found == [] or query == "text:otter"


def test_it_follows_the_shelf(keywords: Keywords, shelf: Shelf) -> None:
    shelf.put([written("zoo", "Otters sleep.")])
    shelf.remove(["otter"])
    assert numbers(keywords, "otter") == [1, 4]
    keywords.follow(shelf)
    assert keywords.cursor == shelf.cursor() == Cursor(5, 2)
    assert numbers(keywords, "otter") == [5]


def test_another_process_finds_what_one_took_in(
    tmp_path: Path, shelf: Shelf, keywords: Keywords
) -> None:
    other = Keywords(tmp_path / "notes" / "keywords", "made")
    assert other.cursor == shelf.cursor()
    assert numbers(other, "otter") == [1, 4]
    shelf.put([written("new", "Otters dive.")])
    keywords.follow(shelf)
    other.follow(shelf)
    assert numbers(other, "dive") == [5]


@pytest.mark.parametrize(
    "damage",
    ["no state", "state of another format", "state of another shelf", "no index", "half an index"],
)
def test_an_index_that_does_not_fit_is_built_anew(
    tmp_path: Path, shelf: Shelf, keywords: Keywords, damage: str
) -> None:
    folder = tmp_path / "notes" / "keywords"
    state, index = folder / "state.json", folder / "index"
    if damage == "no state":
        state.unlink()
    elif damage == "state of another format":
        state.write_text('{"format": 1, "made": "made", "added": 4, "removed": 0}')
    elif damage == "state of another shelf":
        state.write_text(state.read_text().replace('"made":"made"', '"made":"other"'))
    elif damage == "no index":
        for file in index.iterdir():
            file.unlink()
    else:
        (index / "meta.json").write_text("{")
    found = Keywords(folder, "made")
    assert found.cursor == Cursor()
    found.follow(shelf)
    assert numbers(found, "otter") == [1, 4]
    assert len(numbers(found, "they live eat order cafe")) == 4  # none twice


def test_a_writer_that_stopped_before_it_said_so_leaves_no_trace(
    tmp_path: Path, shelf: Shelf, keywords: Keywords
) -> None:
    state = tmp_path / "notes" / "keywords" / "state.json"
    before = state.read_bytes()
    shelf.put([written("new", "Otters dive.")])
    keywords.follow(shelf)
    state.write_bytes(before)
    again = Keywords(tmp_path / "notes" / "keywords", "made")
    again.follow(shelf)
    assert numbers(again, "dive") == [5]


@given(st.sets(st.integers(1, 60)), st.integers(1, 20))
def test_a_filter_is_exact(many: tuple[Keywords, list[int]], allowed: set[int], k: int) -> None:
    keywords, ranked = many
    wanted = [number for number in ranked if number in allowed][:k]
    assert numbers(keywords, "river otter", k, sorted(allowed)) == wanted


@given(st.sets(st.integers(1, 60)), st.integers(1, 20))
def test_so_it_is_where_lists_are_sifted(
    many: tuple[Keywords, list[int]], allowed: set[int], k: int
) -> None:
    keywords, ranked = many
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shoal.retrieval.keywords._FEW", 0)
        wanted = [number for number in ranked if number in allowed][:k]
        assert numbers(keywords, "river otter", k, sorted(allowed)) == wanted


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Keywords, list[int]]:
    folder = tmp_path_factory.mktemp("many")
    shelf = new_shelf(folder)
    texts = ["river " * (n % 5) + "otter " * (n % 3) + f"word{n} " * (n % 7) for n in range(60)]
    shelf.put([written("all", *texts)])
    keywords = Keywords(folder / "keywords", "made")
    keywords.follow(shelf)
    return keywords, numbers(keywords, "river otter", 60)
