"""Values that outputs copy take each other's place, in input and output alike."""

import random

from shoal.specialists.writing.pieces import Source
from shoal.specialists.writing.vocabulary import Vocabulary
from shoal.training.swapping import Swapper
from shoal.training.writing import Example

CITIES = ["Oslo", "Lima", "New York", "Bern", "San Jose", "Riga", "Doha", "Kyiv", "Baku", "Rome"]
RIVERS = ["Rhine", "Volga", "Elbe", "Tiber", "Po", "Indus", "Congo", "Niger", "Loire", "Seine"]
PAIRS = [
    *((f"people in {city}?", f'SELECT n WHERE city = "{city}" OR "{city}";') for city in CITIES),
    *((f"length of the {river}", f'SELECT l WHERE river = "{river}";') for river in RIVERS),
    ("all of them", "SELECT *;"),
]


def examples() -> list[Example]:
    sources = [Source(text) for text, _ in PAIRS]
    vocabulary = Vocabulary.learn(sources, [said for _, said in PAIRS])
    units = [vocabulary.encode(s, said) for s, (_, said) in zip(sources, PAIRS, strict=True)]
    return [Example(s, u) for s, u in zip(sources, units, strict=True) if u is not None]


def swapped(row: int, seed: int) -> tuple[str, str]:
    found = examples()
    each = Swapper(found).swapped(row, found[row], random.Random(seed).randrange)
    return each.source.text, "".join(unit.text for unit in each.units)


def test_what_is_made_up_is_one_of_the_examples_with_another_value() -> None:
    known = set(PAIRS)
    made = {swapped(row, seed) for row in (0, 2, 12) for seed in range(8)}
    assert made <= known
    assert len(made) > 6


def test_a_value_of_several_words_goes_as_one() -> None:
    made = {swapped(2, seed) for seed in range(20)}
    assert ("people in San Jose?", 'SELECT n WHERE city = "San Jose" OR "San Jose";') in made
    assert not any("York" in text for text, _ in made - {PAIRS[2]})


def test_an_example_without_values_stays_as_it_is() -> None:
    assert swapped(len(PAIRS) - 1, 0) == PAIRS[-1]
