import time
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from desk_messages import desk_messages

from shoal.errors import ArtifactError, LearningError
from shoal.specialists import chain_tagger
from shoal.specialists.chain import expectations, factors, tags_in
from shoal.specialists.chain_tagger import ChainTagger
from shoal.specialists.crf import Crf, Tagged
from shoal.specialists.places import locate
from shoal.specialists.senses import Senses
from shoal.specialists.tagger import Places
from shoal.specialists.words import words_of
from shoal.tasks.contract import Field

KEYS = ("order", "amount")
FIELDS = (Field("order", "span"), Field("amount", "number"))
NONE = frozenset[str]()


def examples(n: int, seed: int = 0) -> tuple[list[str], list[Places]]:
    desk = desk_messages(n, seed)
    return desk.texts, [
        locate(text, FIELDS, row) for text, row in zip(desk.texts, desk.rows, strict=True)
    ]


def tagged(texts: Sequence[str], places: Sequence[Places], senses: Senses) -> list[Tagged]:
    found = []
    for text, tokens, place in zip(texts, senses.tokenise(texts), places, strict=True):
        words = words_of(text, tokens)
        each = [(KEYS.index(key), span) for key, spans in place.items() for span in spans]
        found.append(Tagged(words, tags_in(words.offsets, each)))
    return found


def loss(crf: Crf, known: Sequence[Tagged]) -> float:
    """The mean negative log-likelihood."""
    total = 0.0
    for words, tags in known:
        scores = crf.scores(words)
        steps = crf.transitions[tags[:-1], tags[1:]].sum()
        path = scores[np.arange(len(tags)), tags].sum() + steps
        whole = expectations(scores[:, None], factors(crf.transitions)).log_sum[0]
        total += whole - path
    return total / len(known)


@pytest.fixture(scope="module")
def tagger(senses: Senses) -> ChainTagger:
    found = ChainTagger.train(KEYS, *examples(200), senses).tagger
    assert isinstance(found, ChainTagger)
    return found


def test_training_goes_down_on_what_it_minimises(senses: Senses) -> None:
    known = tagged(*examples(80), senses)
    crf = Crf.train(known, 5)
    assert loss(crf, known) < 0.1
    nothing = Crf.train(known, 5)
    for weights in (nothing.sparse, nothing.near, nothing.whole, nothing.transitions):
        weights[:] = 0
    assert loss(nothing, known) > 3


def test_at_the_end_the_gradient_is_small(senses: Senses) -> None:
    """Observed and expected tags are in balance where every text is tagged at random: what cannot
    be learned is left at its rate."""
    rng = np.random.default_rng(0)
    known = [
        Tagged(words, np.where(rng.random(len(tags)) < 0.3, 1, 0))
        for words, tags in tagged(*examples(300), senses)
    ]
    crf = Crf.train(known, 5)
    shares = [
        expectations(crf.scores(words)[:, None], factors(crf.transitions)).tags[:, 0].mean(axis=0)
        for words, _ in known
    ]
    assert np.mean([share[1] for share in shares]) == pytest.approx(0.3, abs=0.03)
    assert np.mean([share[3] for share in shares]) < 0.01


def test_spellings_of_one_text_alone_are_no_features(senses: Senses) -> None:
    texts, places = examples(30)
    crf = Crf.train(tagged([*texts, "my zebra"], [*places, {}], senses), 5)
    known = set(crf.codes.tolist())
    assert zlib.crc32(b"is zebra") not in known
    assert zlib.crc32(b"with before my zebra") not in known
    assert zlib.crc32(b"is my") in known


def test_it_finds_what_new_messages_state(tagger: ChainTagger, senses: Senses) -> None:
    text = "hi there, the courier never came, my order is AB-77777, it was 45 euros"
    found = tagger.find(text, senses.tokenise([text])[0])
    assert {key: span.value for key, span in found.items()} == {"order": "AB-77777", "amount": "45"}
    nothing = tagger.find("good morning", senses.tokenise(["good morning"])[0])
    assert [span.value for span in nothing.values()] == [None, None]
    assert min(span.margin for span in [*found.values(), *nothing.values()]) > 1


def test_left_out_spans_are_those_of_taggers_without_the_fold(
    senses: Senses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal texts are in one fold, so none is judged by a tagger that saw its twin."""
    monkeypatch.setattr(chain_tagger, "FOLDS", 3)
    texts, places = examples(24)
    texts, places = [*texts, *texts[:5]], [*places, *places[:5]]
    left_out = ChainTagger.train(KEYS, texts, places, senses).left_out
    assert len(left_out) == 29
    fold = [texts.index(text) % 3 for text in texts]
    for number in range(3):
        rows = [i for i in range(29) if fold[i] != number]
        part = tagged([texts[i] for i in rows], [places[i] for i in rows], senses)
        alone = ChainTagger(KEYS, NONE, Crf.train(part, 5))
        for i in (i for i in range(29) if fold[i] == number):
            assert left_out[i] == alone.find(texts[i], senses.tokenise([texts[i]])[0])


def test_only_the_newest_train(senses: Senses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_tagger, "MOST_EXAMPLES", 20)
    texts, places = examples(60)
    fitted = ChainTagger.train(KEYS, texts, places, senses)
    assert len(fitted.left_out) == 60
    newest = Crf.train(tagged(texts[-20:], places[-20:], senses), 5)
    np.testing.assert_array_equal(fitted.tagger.arrays()["near"], newest.near)


def test_two_values_for_one_key_are_unsure(tagger: ChainTagger, senses: Senses) -> None:
    one, two = "hello, my order is AB-77777", "hello, my order is AB-77777, my order is AB-88888"
    first, second = (tagger.find(t, senses.tokenise([t])[0])["order"] for t in (one, two))
    assert second.value in ("AB-77777", "AB-88888")
    assert second.margin < min(0.5, first.margin / 2)


def test_a_key_may_have_several_values(tagger: ChainTagger, senses: Senses) -> None:
    text = "hello, my order is AB-77777, my order is AB-88888, it was 45 euros"
    several = ChainTagger.restore(KEYS, frozenset({"order"}), tagger.arrays())
    found = several.find(text, senses.tokenise([text])[0])
    assert found["order"].values == ("AB-77777", "AB-88888")
    assert found["order"].margin > 1
    assert found["amount"].values == ("45",)


def test_runs_and_evidence_are_of_the_same_words(tagger: ChainTagger, senses: Senses) -> None:
    text = "hello, my order is AB-77777, it was 45 euros"
    tokens = senses.tokenise([text])[0]
    runs = [(key, text[start:end]) for key, start, end in tagger.runs(text, tokens)]
    assert runs == [("order", "AB-77777"), ("amount", "45")]
    evidence = tagger.evidence(text, tokens)
    words = [(each.key, each.word) for each in evidence]
    assert words == [("order", "AB"), ("order", "-"), ("order", "77777"), ("amount", "45")]
    assert all(each.weight > 0 for each in evidence)


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_a_text_without_words_states_nothing(
    tagger: ChainTagger, senses: Senses, text: str
) -> None:
    tokens = senses.tokenise([text])[0]
    assert [span.value for span in tagger.find(text, tokens).values()] == [None, None]
    assert tagger.runs(text, tokens) == tagger.evidence(text, tokens) == []
    with pytest.raises(LearningError, match="none of the inputs has a word"):
        ChainTagger.train(KEYS, [text], [{}], senses)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "x," * 500_000, "x " * 500_000, "字" * 500_000])
def test_a_megabyte_takes_little_time(tagger: ChainTagger, senses: Senses, text: str) -> None:
    tokens = senses.tokenise([text])[0]
    began = time.process_time()
    tagger.find(text, tokens)
    assert time.process_time() - began < 0.3


def test_words_are_letters_digits_and_signs(senses: Senses) -> None:
    text = "AB-12cd 3.5€ 東京"
    offsets = words_of(text, senses.tokenise([text])[0]).offsets
    assert [text[start:end] for start, end in offsets] == [
        *("AB", "-", "12", "cd", "3", ".", "5", "€", "東", "京")
    ]


@pytest.mark.parametrize("name", ["codes", "sparse", "near", "whole", "transitions"])
def test_arrays_that_do_not_fit_are_refused(tagger: ChainTagger, name: str) -> None:
    arrays = tagger.arrays()
    with pytest.raises(ArtifactError, match="train it again"):
        ChainTagger.restore(KEYS, NONE, arrays | {name: arrays[name][:-1]})
    with pytest.raises(ArtifactError, match="train it again"):
        ChainTagger.restore((*KEYS, "more"), NONE, arrays)
