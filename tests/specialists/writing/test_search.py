"""The likeliest outputs, and what each decoder thinks of them."""

import math

import numpy as np
import pytest

from shoal.errors import ArtifactError
from shoal.specialists.writing.decoders import SHAPES, Decoders
from shoal.specialists.writing.pieces import Source
from shoal.specialists.writing.search import drafts, log_probability
from shoal.specialists.writing.vocabulary import Unit, Vocabulary
from tiny_writer import tiny_decoders, tiny_vocabulary

DIM = 8


@pytest.fixture(scope="module")
def decoders() -> Decoders:
    return Decoders(tiny_decoders(DIM), tiny_vocabulary())


def states(source: Source) -> np.ndarray:
    return np.ones((len(source), DIM), np.float32)


def found(decoders: Decoders, text: str, longest: int = 20) -> list[tuple[str, float, int, int]]:
    source = Source(text)
    return [
        (d.text, round(math.exp(d.log_probability), 3), d.units, d.agreeing)
        for d in drafts(decoders, source, states(source), longest)
    ]


def test_one_word_leaves_no_doubt(decoders: Decoders) -> None:
    assert found(decoders, "Oslo") == [("go to Oslo;", 1.0, 5, 2)]


def test_of_two_words_either_may_be_copied(decoders: Decoders) -> None:
    both = found(decoders, "Oslo Rome")
    assert {text for text, *_ in both} == {"go to Oslo;", "go to Rome;"}
    assert [probability for _, probability, *_ in both] == [0.5, 0.5]


def test_the_same_word_twice_counts_together(decoders: Decoders) -> None:
    assert found(decoders, "Oslo Rome Oslo")[0][:2] == ("go to Oslo;", 0.667)


def test_the_beam_is_no_wider_than_asked(decoders: Decoders) -> None:
    source = Source("a b c d e f g h")
    assert len(drafts(decoders, source, states(source), 20, beam=3)) == 3


def test_what_never_ends_is_no_draft(decoders: Decoders) -> None:
    assert found(decoders, "Oslo", longest=3) == []


def test_the_probability_of_given_units_is_that_of_the_draft(decoders: Decoders) -> None:
    source = Source("Oslo Rome")
    units = [Unit(2, "go"), Unit(3, " to"), Unit(-1, " Rome"), Unit(4, ";")]
    likely = log_probability(decoders, source, states(source), units)
    assert math.exp(likely) == pytest.approx(0.5, abs=1e-3)
    unlikely = log_probability(decoders, source, states(source), units[:2])
    assert unlikely < -10


def test_probabilities_add_up_to_one() -> None:
    random = np.random.default_rng(0)
    arrays = {n: random.normal(0, 0.5, a.shape) for n, a in tiny_decoders(DIM, 3).items()}
    decoders = Decoders(arrays, tiny_vocabulary())
    source = Source("go go Rome 3 a ;")
    page, hidden = decoders.page(source, states(source))
    read = random.random((2, len(source))).astype(np.float32)
    hidden = hidden.rows(np.array([0, 0]))
    each, after = decoders.step(page, hidden, np.array([0, 5]), read)
    assert each.shape == (3, 2, int(page.ids.max()) + 1)
    assert np.allclose(each.sum(axis=2), 1, atol=1e-5)
    assert after.h1.shape == hidden.h1.shape == (3, 2, len(tiny_vocabulary()))


def test_arrays_that_do_not_fit_are_refused() -> None:
    arrays = tiny_decoders(DIM)
    assert arrays.keys() == SHAPES.keys()
    with pytest.raises(ArtifactError, match="vocabulary"):
        Decoders(arrays, Vocabulary(["", "", "go"], []))
    with pytest.raises(ArtifactError, match="lack forms"):
        Decoders({n: a for n, a in arrays.items() if n != "forms"}, tiny_vocabulary())
