"""The shelf: what is put on it is there, what is removed is gone, and numbers only grow."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from shelves import DIM, new_shelf, vector_of, written

from shoal.errors import Conflict, NotFound, StoreDamaged, StoreError
from shoal.retrieval.cursor import Cursor
from shoal.retrieval.documents import Piece
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_rows import NO_SEAL, Seal


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return new_shelf(tmp_path / "notes")


def test_a_document_and_its_passages(shelf: Shelf) -> None:
    first, second = shelf.put([written("a", "one", "two", year=2020), written("b", "three")])
    assert (first.passages, first.attributes) == (2, {"year": 2020})
    assert shelf.document("a") == shelf.document(first.id) == first
    assert [p.text for p in shelf.text_of(first.number)] == ["one", "two"]
    found = shelf.passages([3, 1, 99])
    assert {n: (p.document, p.position, p.text, p.headings) for n, p in found.items()} == {
        1: (first.number, 0, "one", ("a",)),
        3: (second.number, 0, "three", ("b",)),
    }
    assert shelf.counts() == (2, 3)
    assert shelf.cursor() == Cursor(3, 0)
    assert [d.name for d in shelf.documents(after=first.number)] == ["b"]


def test_a_changed_document_keeps_its_id_and_gets_new_numbers(shelf: Shelf) -> None:
    (before,) = shelf.put([written("a", "one", "two")])
    (after,) = shelf.put([written("a", "two", "three", "four")])
    assert after.id == before.id
    assert after.number > before.number
    assert [p.number for p in shelf.text_of(after.number)] == [3, 4, 5]
    assert shelf.passages([1, 2]) == {}
    assert [(r.document, r.first, r.last) for r in shelf.removed(0)] == [(before.number, 1, 2)]
    assert shelf.cursor() == Cursor(5, 1)


def test_numbers_are_never_given_twice(shelf: Shelf) -> None:
    (first,) = shelf.put([written("a", "one", "two")])
    assert shelf.remove(["a", "no such"]) == 1
    (second,) = shelf.put([written("b", "one")])
    assert second.number > first.number
    assert [p.number for p in shelf.text_of(second.number)] == [3]
    assert shelf.counts() == (1, 1)


def test_what_was_added_is_told_in_slices(shelf: Shelf) -> None:
    shelf.put([written("a", *map(str, range(7))), written("b", "x")])
    slices = list(shelf.added(2, size=3))
    assert [each.numbers.tolist() for each in slices] == [[3, 4, 5], [6, 7, 8]]
    assert slices[1].texts == ["a\n5", "a\n6", "b\nx"]


def test_each_part_of_a_passage_has_a_vector(shelf: Shelf) -> None:
    shelf.put([written("a", "one", "two|three"), written("b", "four|five|six")])
    ((numbers, vectors),) = shelf.vectors(1)
    assert numbers.tolist() == [2, 3, 4, 5, 6]
    assert vectors[0] == pytest.approx(vector_of("two"), abs=2e-3)
    assert shelf.passages_of_vectors([1, 3, 6, 9]) == {1: 1, 3: 2, 6: 3}
    found = shelf.vectors_of([2, 99])
    assert list(found) == [2]
    assert found[2] == pytest.approx(np.array([vector_of("two"), vector_of("three")]), abs=2e-3)
    assert shelf.vector_cursor() == Cursor(6, 0)
    shelf.remove(["a"])
    (gone,) = shelf.removed(0)
    assert (gone.first, gone.last, gone.first_vector, gone.last_vector) == (1, 2, 1, 3)
    ranges = shelf.ranges()
    assert ranges.documents.tolist() == [2]
    assert (ranges.first.tolist(), ranges.passages.tolist()) == ([3], [1])
    assert (ranges.first_vector.tolist(), ranges.vectors.tolist()) == ([4], [3])


def test_equal_words_have_known_vectors(shelf: Shelf) -> None:
    shelf.put([written("a", "one")])
    known, new = Piece("one", ("a",)), Piece("one", ("b",))
    found = shelf.known_vectors([known, new])
    assert list(found) == [known]
    assert found[known][0] == pytest.approx(vector_of("one"), abs=2e-3)


def test_attributes_change_and_say_so(shelf: Shelf) -> None:
    (document,) = shelf.put([written("a", "one", year=2020)])
    count, rows = shelf.changed(0)
    assert rows == [(document.number, {"year": 2020})]
    assert shelf.changed(count) == (count, [])
    shelf.describe(document.id, {"year": 2021, "draft": True})
    assert shelf.changed(count) == (count + 1, [(document.number, {"year": 2021, "draft": True})])
    with pytest.raises(NotFound):
        shelf.describe("no such", {})


def test_failures_and_seals(shelf: Shelf) -> None:
    shelf.put([written("a", "one")])
    shelf.fail("b", Seal(10, 5), "encrypted")
    assert shelf.seals() == {"a": Seal(3, 1), "b": Seal(10, 5)}
    assert [(f.name, f.reason) for f in shelf.failures()] == [("b", "encrypted")]
    shelf.note({"c": "no permission", "a": "no permission"})
    assert shelf.seals() == {"a": Seal(3, 1), "b": Seal(10, 5), "c": NO_SEAL}
    shelf.note({}, mended=["a", "b", "c"])  # only what could not be looked at is mended by a look
    assert [f.name for f in shelf.failures()] == ["b"]
    shelf.reseal({"a": Seal(3, 7)})
    assert shelf.seals()["a"] == Seal(3, 7)
    shelf.fail("a", Seal(4, 8), "damaged")  # what it held before is not what it holds
    assert shelf.counts() == (0, 0)
    shelf.put([written("b", "readable now")])
    assert [f.name for f in shelf.failures()] == ["a"]


def test_all_of_a_batch_or_none(shelf: Shelf) -> None:
    twice = replace(written("b", "x"), id="same")
    with pytest.raises(StoreError, match="UNIQUE"):
        shelf.put([written("a", "one"), twice, replace(twice, name="c")])
    assert shelf.counts() == (0, 0)
    assert shelf.cursor() == Cursor(0, 0)


def test_several_see_the_same(shelf: Shelf) -> None:
    other = Shelf.open(shelf.path.parent)
    shelf.put([written("a", "one")])
    assert other.counts() == (1, 1)
    other.remove(["a"])
    assert shelf.counts() == (0, 0)


def test_what_is_no_collection_is_left_alone(tmp_path: Path, shelf: Shelf) -> None:
    with pytest.raises(Conflict, match="already"):
        Shelf.create(shelf.path.parent, "digest", DIM, 200)
    with pytest.raises(NotFound):
        Shelf.open(tmp_path)
    (tmp_path / "collection.db").write_bytes(b"something else" * 100)
    with pytest.raises(StoreDamaged, match="left as it is"):
        Shelf.open(tmp_path)
    assert (tmp_path / "collection.db").read_bytes().startswith(b"something else")


def test_vectors_are_exchanged_all_at_once_and_nothing_is_lost_meanwhile(shelf: Shelf) -> None:
    first, _ = shelf.put([written("a", "one", "two|three"), written("gone", "x")])
    made, other = shelf.made, Shelf.open(shelf.path.parent)
    met = False

    def encode(pieces: list[Piece]) -> list[np.ndarray]:
        nonlocal met
        if not met:  # while it is under way
            met = True
            other.put([written("late", "four")])
            other.remove(["gone"])
            assert other.is_current()
            assert other.vectors_of([1])[1].shape == (1, DIM)
        return [np.ones((2, 4), np.float32) / 2 for _ in pieces]

    assert shelf.encode_anew("another", 4, encode) == 3
    assert (shelf.encoder, shelf.dim) == ("another", 4)
    assert shelf.made != made
    assert not other.is_current()
    assert shelf.document("a") == first
    numbers, vectors = next(shelf.vectors(0))
    assert vectors.shape == (6, 4)
    assert numbers[0] > 4  # no number is given twice
    ranges = shelf.ranges()
    assert (ranges.first_vector - numbers[0]).tolist() == [0, 4]
    assert ranges.vectors.tolist() == [4, 2]
    shelf.remove(["a"])
    assert len(next(shelf.vectors(0))[0]) == 2


def test_vectors_of_two_encoders_are_never_mixed(shelf: Shelf) -> None:
    shelf.put([written("a", "one")])
    other = Shelf.open(shelf.path.parent)
    known = Piece("one", ("a",))
    assert list(other.known_vectors([known])) == [known]
    shelf.encode_anew("another", 4, lambda pieces: [np.ones((1, 4), np.float32) for _ in pieces])
    with pytest.raises(Conflict, match="encoded anew meanwhile"):
        other.put([written("b", "two")])
    with pytest.raises(Conflict, match="encoded anew meanwhile"):
        other.known_vectors([known])
    assert shelf.counts() == (1, 1)


def test_a_copy_holds_all(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put([written("a", "one", "two")])
    (tmp_path / "copy").mkdir()
    shelf.copy_to(tmp_path / "copy" / "collection.db")
    copy = Shelf.open(tmp_path / "copy")
    copy.check()
    assert copy.counts() == (1, 2)
    assert copy.cursor() == shelf.cursor()
    with pytest.raises(StoreError, match="is there already"):
        shelf.copy_to(tmp_path / "copy" / "collection.db")


def test_ids_and_sizes(shelf: Shelf) -> None:
    assert (shelf.ids(), shelf.sizes()) == ([], (0, 0))
    first, second = shelf.put([written("a", "one", "two"), written("b", "three")])
    assert shelf.ids() == [(first.at, first.id), (second.at, second.id)]
    assert shelf.sizes() == (2, first.size + second.size)
    assert shelf.sizes([second.id, "unknown"]) == (1, first.size + second.size)
