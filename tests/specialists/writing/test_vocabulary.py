"""What is written often becomes one unit, what is copied none, and nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from shoal.specialists.writing.pieces import Source
from shoal.specialists.writing.vocabulary import END, Vocabulary

CITIES = ["Oslo", "Rome", "Lima", "Kyiv", "Bern", "Riga", "Doha", "Baku", "New York", "San Jose"]
ASKED = [f"people in {city}" for city in CITIES]
SAID = [f'SELECT n FROM c WHERE name = "{city}";' for city in CITIES]
LEARNED = Vocabulary.learn([*map(Source, ASKED)], SAID)


def written(text: str, asked: str, vocabulary: Vocabulary = LEARNED) -> list[str] | None:
    units = vocabulary.encode(Source(asked), text)
    return None if units is None else [unit.text for unit in units]


def test_what_all_outputs_share_is_one_unit_and_what_is_copied_none() -> None:
    assert written(SAID[0], ASKED[0]) == ['SELECT n FROM c WHERE name = "', "Oslo", '";']
    assert written(SAID[8], ASKED[8]) == ['SELECT n FROM c WHERE name = "', "New", " York", '";']
    units = LEARNED.encode(Source(ASKED[0]), SAID[0])
    assert units is not None
    assert [unit.id >= 0 for unit in units] == [True, False, True]


def test_what_can_be_neither_copied_nor_written_is_spelled_or_refused() -> None:
    assert written("Rome", "people in Oslo") == ["R", "o", "m", "e"]
    assert written("ß", "people in Oslo") is None


def test_a_word_of_all_inputs_and_all_outputs_is_not_taken_for_a_copy() -> None:
    asked = [f"the parcel {n}" for n in range(20)]
    said = [f"Your parcel {n} left." for n in range(20)]
    vocabulary = Vocabulary.learn([*map(Source, asked)], said)
    assert written(said[7], asked[7], vocabulary) == ["Your parcel", " 7", " left."]


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=8))
def test_what_was_learned_from_can_be_written(pairs: list[tuple[str, str]]) -> None:
    sources, outputs = [Source(asked) for asked, _ in pairs], [said for _, said in pairs]
    vocabulary = Vocabulary.learn(sources, outputs)
    again = Vocabulary(vocabulary.units, vocabulary.merges)
    for source, output in zip(sources, outputs, strict=True):
        units = vocabulary.encode(source, output)
        assert units is not None
        assert "".join(unit.text for unit in units) == output
        assert units == again.encode(source, output)
        assert all(unit.id > END or unit.text in source.places for unit in units)


def test_three_in_a_row_merge_from_the_left() -> None:
    vocabulary = Vocabulary.learn([Source("x")] * 10, ["(((", "((("] * 5)
    assert written("((((", "x", vocabulary) in (["(((", "("], ["((", "(("])
