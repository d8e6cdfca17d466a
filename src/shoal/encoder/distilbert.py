"""DistilBERT (Sanh et al. 2019) read as the BERT that it is: the same layers under other names.

It has no token types, which is a BERT whose one token type is nought. So all that is known of BERT
– conversion, fine-tuning, serving – holds of it too.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SETTINGS = {
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
    "vocab_size": "vocab_size",
    "max_position_embeddings": "max_position_embeddings",
}
_LAYERS = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
_PREFIX, _STACK = "distilbert.", "transformer.layer."
_TYPES = "embeddings.token_type_embeddings.weight"


def as_bert_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Its ``config.json`` in BERT's words; what it lacks is missing there too."""
    told = {theirs: config[own] for theirs, own in _SETTINGS.items() if own in config}
    return {"model_type": "bert", "type_vocab_size": 1, "layer_norm_eps": 1e-12} | told


def as_bert_tensors(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Its tensors under BERT's names; those of a head, which BERT does not have, keep theirs."""
    renamed = {_name(name): tensor for name, tensor in tensors.items()}
    words = renamed.get("embeddings.word_embeddings.weight")
    if words is not None:
        renamed[_TYPES] = np.zeros((1, words.shape[1]), words.dtype)
    return renamed


def _name(name: str) -> str:
    name = name.removeprefix(_PREFIX)
    if not name.startswith(_STACK):
        return name
    number, _, rest = name.removeprefix(_STACK).partition(".")
    part, _, kind = rest.rpartition(".")
    return f"encoder.layer.{number}.{_LAYERS.get(part, part)}.{kind}"
