"""Packed files: smaller, and served by the same int8 numbers."""

from typing import Any

import numpy as np
import pytest

from shoal.encoder import Encoder
from shoal.encoder.student import Cut, student
from shoal.encoder.tuned import PIECES, TunedWeights
from shoal.errors import LearningError
from shoal.specialists.packing import Packing, in_int8, packed
from shoal.specialists.senses import Senses
from shoal.specialists.tuned_encoder import encoder_arrays, encoder_of, tuned_encoder
from tiny_checkpoint import tiny_checkpoint

TEXTS = ["my order", "refund it please", "cancel the parcel", ""]
Arrays = dict[str, Any]


@pytest.fixture(scope="module")
def senses(tmp_path_factory: pytest.TempPathFactory) -> Senses:
    home = tmp_path_factory.mktemp("packing")
    return Senses(Encoder(tiny_checkpoint(home / "weights"), home / "cache"))


@pytest.fixture(scope="module")
def arrays(senses: Senses) -> Arrays:
    weights = senses.encoder.weights
    tensors = student(weights.architecture(), weights.tensors(), Cut(1))
    return encoder_arrays(tensors) | {"weights": np.ones((5, 3), np.float32)}


def size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())


def test_int8_changes_no_answer(senses: Senses, arrays: Arrays) -> None:
    found = packed(arrays, Packing(), senses, TEXTS)
    assert size(found) < 0.9 * size(arrays)
    assert found["weights"].dtype == np.float16
    before, after = (tuned_encoder(senses, each).encode(TEXTS) for each in (arrays, found))
    assert np.array_equal(before, after)


def test_int8_survives_being_packed_again(senses: Senses, arrays: Arrays) -> None:
    once = in_int8(encoder_of(arrays))
    weights = TunedWeights(senses.encoder.weights.folder, once)
    again = in_int8({name: weights.tensors()[name] for name in encoder_of(arrays)})
    for name, array in once.items():
        if array.dtype == np.int8:
            assert np.array_equal(array, again[name]), name


def test_fewer_pieces_are_those_in_use(senses: Senses, arrays: Arrays) -> None:
    found = encoder_of(packed(arrays, Packing(int8=False, common=1), senses, ["my order"]))
    seen = {piece for ids, _ in senses.encoder.pieces(["my order"]) for piece in ids}
    assert seen <= set(found[PIECES].tolist())
    served = tuned_encoder(senses, packed(arrays, Packing(common=1), senses, ["my order"]))
    assert served.encode(["an unknown word"]).shape == (1, 32)


def test_what_has_no_encoder_or_is_packed_is_refused(senses: Senses, arrays: Arrays) -> None:
    with pytest.raises(LearningError, match="nothing to make smaller"):
        packed({"weights": arrays["weights"]}, Packing(), senses, TEXTS)
    with pytest.raises(LearningError, match="packed already"):
        packed(packed(arrays, Packing(), senses, TEXTS), Packing(), senses, TEXTS)
