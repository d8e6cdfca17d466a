import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.specialists.terms import Terms

TEXTS = [
    "Where is my parcel?",
    "Where is the refund for my parcel",
    "Cancel my order, please!",
    "my my my order",
    "",
]


@pytest.fixture(scope="module")
def terms() -> Terms:
    return Terms.fit(TEXTS)


def length(terms: Terms, text: str) -> float:
    return float(np.linalg.norm(terms.row(text)[1]))


def test_rows_of_fitted_texts_are_unit_vectors(terms: Terms) -> None:
    for text in TEXTS[:-1]:
        assert length(terms, text) == pytest.approx(1, abs=1e-6)


@settings(max_examples=100)
@given(st.lists(st.text(max_size=60), max_size=6))
def test_a_row_alone_equals_the_row_in_a_batch(texts: list[str]) -> None:
    terms = Terms.fit(TEXTS + texts[:2])
    batch = terms.rows(texts).toarray()
    assert batch.shape == (len(texts), terms.size)
    for text, expected in zip(texts, batch, strict=True):
        columns, values = terms.row(text)
        row = np.zeros(terms.size, np.float32)
        row[columns] = values
        np.testing.assert_array_equal(row, expected)


def test_words_and_pairs_weigh_as_in_sublinear_tf_idf() -> None:
    """Against scikit-learn, whose smoothed inverse document frequency is the same."""
    text = pytest.importorskip("sklearn.feature_extraction.text")
    theirs = text.TfidfVectorizer(
        ngram_range=(1, 2), token_pattern=r"\w+|[^\w\s]", sublinear_tf=True
    )
    expected = theirs.fit_transform(TEXTS).toarray()
    ours = Terms.fit(TEXTS)
    assert ours.words == theirs.get_feature_names_out().tolist()
    words = ours.rows(TEXTS).toarray()[:, : len(ours.words)]
    np.testing.assert_allclose(words * np.sqrt(2), expected, atol=1e-6)


def test_words_and_characters_weigh_the_same(terms: Terms) -> None:
    columns, values = terms.row(TEXTS[0])
    is_word = columns < len(terms.words)
    assert np.linalg.norm(values[is_word]) == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert np.linalg.norm(values[~is_word]) == pytest.approx(np.sqrt(0.5), abs=1e-6)


def test_unknown_terms_have_no_column_and_count_in_the_length(terms: Terms) -> None:
    columns, values = terms.row("my zebra")
    assert {terms.words[c] for c in columns if c < len(terms.words)} == {"my"}
    assert 0 < np.linalg.norm(values) < 0.9
    assert len(terms.row("qqqq zzzz")[0]) == 0


def test_a_new_text_resembles_the_others_as_much_as_if_it_had_been_among_them() -> None:
    """Else signals on new texts would be greater than those that the threshold was chosen on."""
    rng = np.random.default_rng(0)
    law = 1 / np.arange(1, 401)
    words = np.array([f"w{i}x{i * 7919 % 97}" for i in range(400)])
    texts = [" ".join(rng.choice(words, 8, p=law / law.sum())) for _ in range(300)]
    inside = Terms.fit(texts).rows(texts)
    among = (inside @ inside.T).toarray()
    ratios = []
    for left_out in range(0, 300, 25):
        others = [i for i in range(300) if i != left_out]
        terms = Terms.fit([texts[i] for i in others])
        new = terms.rows([texts[left_out]]) @ terms.rows([texts[i] for i in others]).T
        ratios.append(new.toarray().mean() / among[left_out, others].mean())
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)


def test_case_and_blanks_do_not_matter(terms: Terms) -> None:
    for got, expected in zip(terms.row("WHERE  is\nmy parcel ?"), terms.row(TEXTS[0]), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_only_the_most_widespread_terms_are_kept() -> None:
    terms = Terms.fit(["a b", "a b c", "a"], most=2)
    assert terms.words == ["a", "a b"]
    assert len(terms.chars) == 2


def test_texts_without_words_give_empty_rows() -> None:
    terms = Terms.fit(["", "  \n"])
    assert terms.size == 0
    assert terms.rows(["", "anything"]).shape == (2, 0)


def test_half_a_surrogate_pair_is_a_character_like_others() -> None:
    assert length(Terms.fit(["\ud83d x"]), "\ud83d x") == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "a" * 1_000_000,
        "ab " * 333_333,
        "".join(map(chr, range(0x4E00, 0x9000))) * 50,
        "?" * 1_000_000,
    ],
    ids=["one word", "words", "one foreign word", "signs"],
)
def test_a_megabyte_takes_little_time(terms: Terms, text: str) -> None:
    began = time.process_time()
    terms.row(text)
    assert time.process_time() - began < 0.1


def test_places_are_those_of_the_known_terms() -> None:
    terms = Terms.fit(["the card is lost", "a lost card"])
    text = "Lost card, is the card"
    columns, _ = terms.row(text)
    places = list(terms.places(text))
    assert {column for column, _, _ in places} == set(columns.tolist())
    found = {text[start:end].lower() for column, start, end in places if column < len(terms.words)}
    assert {"lost", "card", "lost card", "the", "is", "the card"} >= found >= {"lost", "card"}
