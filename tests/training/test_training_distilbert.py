"""A DistilBERT of transformers' own is fine-tuned for labels, and served without torch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.encoder import Encoder
from shoal.specialists.card import Card
from shoal.specialists.loading import load_specialist
from shoal.specialists.senses import Senses
from shoal.tasks import Input, LabelContract
from shoal.training.label import LabelOptions, tune_label
from shoal.training.loop import LoopOptions
from tiny_checkpoint import make_tokenizer

SMALL: dict[str, Any] = {
    "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 300,
}  # fmt: skip


@pytest.fixture(scope="module", params=["bare", "under a head"])
def published(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny one, as it would be published: alone, or as part of a model with a head."""
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("distilbert")
    tokenizer = make_tokenizer()
    config = transformers.DistilBertConfig(vocab_size=tokenizer.get_vocab_size(), **SMALL)
    torch.manual_seed(2)
    is_bare = request.param == "bare"
    kind = transformers.DistilBertModel if is_bare else transformers.DistilBertForMaskedLM
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_its_vectors_are_those_of_transformers(published: Path, tmp_path: Path) -> None:
    import torch
    import transformers

    texts = ["my order arrived", "cancel it please", "refund the parcel word"]
    model = transformers.DistilBertModel.from_pretrained(published).eval()
    tokenizer = make_tokenizer()
    tokenizer.no_padding()
    wanted = []
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.inference_mode():
            mean = model(ids).last_hidden_state[0].mean(0).numpy()
        wanted.append(mean / np.linalg.norm(mean))
    found = Encoder(published, tmp_path).encode(texts)
    assert (np.sum(found * np.array(wanted), axis=1) > 0.995).all()  # int8


def test_it_is_fine_tuned_for_labels_and_served(
    published: Path, tmp_path: Path, messages: tuple[list[Input], list[str]]
) -> None:
    senses = Senses(Encoder(published, tmp_path))
    inputs, labels = messages
    contract = LabelContract(tuple(dict.fromkeys(labels)))
    options = LabelOptions(LoopOptions(epochs=8, rate=3e-3, layer_decay=1.0))
    tuned = tune_label(contract, inputs, labels, senses, options)
    told = [tuned.predict(each).output for each in inputs]
    assert np.mean([one == label for one, label in zip(told, labels, strict=True)]) > 0.9
    folder = tmp_path / "specialist"
    folder.mkdir()
    tuned.save(folder)
    card = Card(
        "c", "t", "label", "tuned", contract, "llm", senses.digest, "", 60, 1.0, "", 0.0, 0.0
    )
    served = load_specialist(card, folder, senses)
    assert [served.predict(each).output for each in inputs] == told
