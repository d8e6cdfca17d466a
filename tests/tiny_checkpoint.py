"""A tiny BERT with random weights, for all that does not depend on what the weights know."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from shoal.encoder import weights

PIECES = ["my", "order", "refund", "please", "cancel", "it", "the", "parcel", "arrived", "word"]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 64,
    "max_position_embeddings": 300,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}


def make_tokenizer() -> Tokenizer:
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces + PIECES))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=128)  # as the published file does; ours must not pad
    return tokenizer


def make_tensors(vocabulary: int) -> dict[str, NDArray[np.float32]]:
    d, inner = 32, 64
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, d),
        "embeddings.position_embeddings.weight": (300, d),
        "embeddings.token_type_embeddings.weight": (2, d),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= {f"{layer}.attention.{name}.weight": (d, d)}
            shapes |= {f"{layer}.attention.{name}.bias": (d,)}
        shapes |= {f"{layer}.intermediate.dense.weight": (inner, d)}
        shapes |= {f"{layer}.intermediate.dense.bias": (inner,)}
        shapes |= {f"{layer}.output.dense.weight": (d, inner), f"{layer}.output.dense.bias": (d,)}
    for name in norms:
        shapes |= {f"{name}.weight": (d,), f"{name}.bias": (d,)}
    random = np.random.default_rng(7)
    return {name: random.normal(0, 0.4, shape).astype(np.float32) for name, shape in shapes.items()}


def tiny_checkpoint(folder: Path) -> Path:
    """Write one, as it would be published, into ``folder``."""
    folder.mkdir()
    tokenizer = make_tokenizer()
    tokenizer.save(str(folder / weights.TOKENIZER))
    save_file(make_tensors(tokenizer.get_vocab_size()), folder / weights.TENSORS)
    config = CONFIG | {"vocab_size": tokenizer.get_vocab_size()}
    (folder / weights.CONFIG).write_text(json.dumps(config))
    return folder
