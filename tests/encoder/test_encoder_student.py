"""Students: what is taken out of an encoder is gone, the rest is the teacher's, and it runs."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from shoal.encoder import Encoder
from shoal.encoder.student import Cut, spaced, student
from shoal.encoder.tuned import PIECES, WORDS, TunedWeights
from shoal.encoder.vocabulary import kept_pieces, needed
from shoal.encoder.weights import Weights
from shoal.errors import ArtifactError, LearningError
from tiny_checkpoint import tiny_checkpoint

TEXTS = ["my order", "refund it please", "cancel the parcel", ""]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    return Weights(tiny_checkpoint(tmp_path_factory.mktemp("published") / "weights"))


def cut(published: Weights, *asked: float) -> TunedWeights:
    layers, heads, inner = asked
    tensors = student(published.architecture(), published.tensors(), Cut(int(layers), heads, inner))
    return TunedWeights(published.folder, tensors)


@given(st.integers(1, 48).flatmap(lambda of: st.tuples(st.just(of), st.integers(1, of))))
def test_layers_are_evenly_spaced(asked: tuple[int, int]) -> None:
    of, count = asked
    found = spaced(of, count)
    assert len(found) == count
    assert found == sorted(set(found))
    assert found[-1] == of - 1
    gaps = np.diff(found)
    if count > 1:
        assert found[0] == 0
        assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("asked", [(1, 1.0, 1.0), (2, 0.5, 0.5), (1, 0.25, 0.1)])
def test_a_student_runs_and_its_sizes_are_what_is_left(
    published: Weights, tmp_path: Path, asked: tuple[float, ...]
) -> None:
    weights, size = cut(published, *asked), published.architecture()
    found = weights.architecture()
    assert found.layers == asked[0]
    assert found.heads == round(asked[1] * size.heads)
    assert found.head_width == size.head_width
    assert found.feed_forward == round(asked[2] * size.feed_forward)
    vectors = Encoder(weights, tmp_path).encode(TEXTS)
    assert vectors.shape == (4, 32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_a_student_of_all_is_the_teacher(published: Weights, tmp_path: Path) -> None:
    whole = Encoder(cut(published, 0, 1.0, 1.0), tmp_path)
    teacher = Encoder(published.folder, tmp_path)
    assert np.array_equal(whole.encode(TEXTS), teacher.encode(TEXTS))
    assert whole.digest != Encoder(cut(published, 1, 1.0, 1.0), tmp_path).digest


def test_the_heads_that_add_nothing_go_first(published: Weights) -> None:
    size, tensors = published.architecture(), published.tensors()
    name = "encoder.layer.0.attention.output.dense.weight"
    idle = np.array(tensors[name])
    idle[:, :8] = 0  # what head 0 adds
    left = student(size, tensors | {name: idle}, Cut(0, 0.75))
    assert np.array_equal(left[name], idle[:, 8:])


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (Cut(3), "3 layers: the encoder has 2"),
        (Cut(-1), "-1 layers"),
        (Cut(1, 0.0), "heads: a share"),
        (Cut(1, 1.0, 1.5), "feed-forward: a share"),
    ],
)
def test_what_cannot_be_cut_is_refused(published: Weights, asked: Cut, why: str) -> None:
    with pytest.raises(LearningError, match=why):
        student(published.architecture(), published.tensors(), asked)


def test_a_missing_layer_is_damage(published: Weights) -> None:
    tensors = {n: t for n, t in published.tensors().items() if "layer.0." not in n}
    with pytest.raises(ArtifactError, match="lacks a layer"):
        TunedWeights(published.folder, tensors).architecture()


def test_words_without_their_piece_are_put_together_from_letters(published: Weights) -> None:
    tokenizer = Tokenizer.from_buffer(published.tokenizer())
    seen = tokenizer.encode("my order").ids[:4]
    kept = needed(published.tokenizer(), seen, 0)
    fewer = Tokenizer.from_buffer(kept_pieces(published.tokenizer(), kept))
    fewer.no_padding()
    assert fewer.encode("my refund").tokens == [
        "[CLS]", "my", "r", "##e", "##f", "##u", "##n", "##d", "[SEP]",
    ]  # fmt: skip
    assert fewer.get_vocab_size() == len(kept) < tokenizer.get_vocab_size()


@settings(max_examples=30)
@given(text=st.text(max_size=40), common=st.integers(0, 80))
def test_pieces_that_stay_keep_their_vectors(published: Weights, text: str, common: int) -> None:
    content = published.tokenizer()
    tokenizer = Tokenizer.from_buffer(content)
    tokenizer.no_padding()
    ids = tokenizer.encode(text.encode("utf-8", "replace").decode()).ids
    kept = needed(content, ids, common)
    fewer = Tokenizer.from_buffer(kept_pieces(content, kept))
    fewer.no_padding()
    found = fewer.encode(text.encode("utf-8", "replace").decode()).ids
    assert [int(kept[number]) for number in found] == ids


def test_fewer_pieces_change_no_vector_of_the_texts_they_are_of(
    published: Weights, tmp_path: Path
) -> None:
    tensors = student(published.architecture(), published.tensors(), Cut(1))
    teacher = Encoder(TunedWeights(published.folder, tensors), tmp_path)
    seen = {piece for ids, _ in teacher.pieces(TEXTS) for piece in ids}
    kept = needed(published.tokenizer(), seen, 0)
    own = {PIECES: kept, WORDS: published.tensors()[WORDS][kept]}
    fewer = Encoder(TunedWeights(published.folder, tensors | own), tmp_path)
    assert np.array_equal(fewer.encode(TEXTS), teacher.encode(TEXTS))
    assert fewer.weights.architecture().vocabulary == len(kept)


def test_pieces_of_another_tokenizer_are_refused(published: Weights) -> None:
    with pytest.raises(ArtifactError, match="not the tokenizer's"):
        kept_pieces(published.tokenizer(), [0, 1, 2, 3, 9_999])
    with pytest.raises(ArtifactError, match="WordPiece"):
        needed(b'{"model": {"type": "BPE"}}', [], 0)
