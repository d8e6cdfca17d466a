"""A tiny encoder–decoder as CTranslate2 has them, made of numpy alone: it answers with one text."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def write_translator(folder: Path, says: str) -> Path:
    """A model that answers everything with ``says``, no character of which may come twice.

    Its attention and its feed-forward layers give nothing: the next token goes by the last one.
    """
    import ctranslate2

    tokens = [PAD, END, UNKNOWN, *sorted(set(says) | set(map(chr, range(32, 127))))]
    size = 8 * -(-len(tokens) // 8)
    chain = [PAD, *says, END]
    embeddings = np.zeros((len(tokens), size), np.float32)
    for last, following in pairwise(chain):
        embeddings[tokens.index(last), tokens.index(following)] = 1.0
    spec: Any = ctranslate2.specs.TransformerSpec.from_config(num_layers=(1, 1), num_heads=2)
    _fill(spec.encoder, size)
    _fill(spec.decoder, size)
    for side in (spec.encoder, spec.decoder):
        table = side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings
        table.weight = embeddings
        side.scale_embeddings = False
        side.position_encodings.encodings = np.zeros((64, size), np.float32)
    spec.decoder.projection.weight = 8 * np.eye(len(tokens), size, dtype=np.float32)
    spec.decoder.projection.bias = np.zeros(len(tokens), np.float32)
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.decoder_start_token = PAD
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = PAD, END, UNKNOWN
    folder.mkdir(parents=True, exist_ok=True)
    spec.validate()
    spec.save(str(folder))
    numbers = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _fill(part: Any, size: int) -> None:
    """Zeros for what is a matrix, ones for norms."""
    inner = {"linear_0": (4 * size, size), "linear_1": (size, 4 * size)}
    for name, value in vars(part).items():
        for one in value if isinstance(value, list) else [value]:
            kind = type(one).__name__
            if kind == "LayerNormSpec":
                one.gamma, one.beta = np.ones(size, np.float32), np.zeros(size, np.float32)
            elif kind == "MultiHeadAttentionSpec":
                _fill_attention(one, size)
            elif kind == "LinearSpec" and name in inner:
                one.weight = np.zeros(inner[name], np.float32)
                one.bias = np.zeros(inner[name][0], np.float32)
            elif kind.endswith("Spec") and kind not in ("EmbeddingsSpec", "LinearSpec"):
                _fill(one, size)


def _fill_attention(part: Any, size: int) -> None:
    _fill_norm = part.layer_norm
    _fill_norm.gamma, _fill_norm.beta = np.ones(size, np.float32), np.zeros(size, np.float32)
    count = len(part.linear)
    widths = {2: (3 * size, size), 3: (size, 2 * size, size)}[count]
    for linear, width in zip(part.linear, widths, strict=True):
        linear.weight = np.zeros((width, size), np.float32)
        linear.bias = np.zeros(width, np.float32)
