import numpy as np
import pytest
import torch

from shoal.encoder import Encoder
from shoal.encoder.tuned import TunedWeights
from shoal.specialists.senses import Senses
from shoal.training.bert import Dropout, load, pooled, tuned_tensors
from shoal.training.texts import TokenisedTexts

TEXTS = ["my order", "please cancel the parcel", "it arrived", ""]


def test_its_vectors_are_those_that_are_served(tuned_from: Senses) -> None:
    weights = tuned_from.encoder.weights
    model = load(weights.architecture(), weights.tensors()).eval()
    ids, mask = TokenisedTexts(tuned_from.encoder, TEXTS).batch(range(4), torch.device("cpu"))
    with torch.no_grad():
        vectors = pooled(model(ids, mask), mask).numpy()
    served = tuned_from.encoder.encode(TEXTS)  # int8
    assert np.einsum("nd,nd->n", vectors, served).min() > 0.98


def test_padding_changes_nothing(tuned_from: Senses) -> None:
    weights = tuned_from.encoder.weights
    model = load(weights.architecture(), weights.tensors()).eval()
    texts = TokenisedTexts(tuned_from.encoder, TEXTS)
    with torch.no_grad():
        ids, mask = texts.batch([0, 1, 2, 3], torch.device("cpu"))
        together = pooled(model(ids, mask), mask)
        for row in range(4):
            ids, mask = texts.batch([row], torch.device("cpu"))
            torch.testing.assert_close(pooled(model(ids, mask), mask)[0], together[row])


def test_what_was_not_trained_comes_out_as_it_was_published(tuned_from: Senses) -> None:
    weights = tuned_from.encoder.weights
    tensors = tuned_tensors(load(weights.architecture(), weights.tensors()))
    again = TunedWeights(weights.folder, tensors)
    served = Encoder(again, tuned_from.encoder.cache)
    assert served.digest != tuned_from.encoder.digest
    np.testing.assert_array_equal(served.encode(TEXTS), tuned_from.encoder.encode(TEXTS))


def test_a_trained_tensor_is_served(tuned_from: Senses) -> None:
    weights = tuned_from.encoder.weights
    model = load(weights.architecture(), weights.tensors())
    with torch.no_grad():
        for parameter in model.layers[1].parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.manual_seed(0))
    served = Encoder(TunedWeights(weights.folder, tuned_tensors(model)), tuned_from.encoder.cache)
    ids, mask = TokenisedTexts(served, TEXTS).batch(range(4), torch.device("cpu"))
    with torch.no_grad():
        wanted = pooled(model.eval()(ids, mask), mask).numpy()
    assert np.einsum("nd,nd->n", wanted, served.encode(TEXTS)).min() > 0.98
    assert np.einsum("nd,nd->n", wanted, tuned_from.encoder.encode(TEXTS)).min() < 0.98


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_dropout_keeps_the_mean(share: float) -> None:
    torch.manual_seed(0)
    layer, values = Dropout(share), torch.ones(200_003)
    dropped = layer(values)
    assert float((dropped == 0).float().mean()) == pytest.approx(share, abs=0.005)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(layer.eval()(values), values)
