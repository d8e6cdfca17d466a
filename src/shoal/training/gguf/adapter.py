"""A LoRA adapter as peft saves it → a GGUF that llama.cpp lays over the base model."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from shoal.errors import ArtifactError
from shoal.training.gguf.architectures import architecture_of
from shoal.training.gguf.blocks import Blocks
from shoal.training.gguf.checkpoint_config import CheckpointConfig
from shoal.training.gguf.files import writing
from shoal.training.gguf.tensors import TYPES, Names, Tensor
from shoal.training.gguf.weights import Rows, Weights

_FORM = re.compile(r"(?:base_model\.model\.)?(?P<layer>.+)\.lora_(?P<half>[AB])\.weight")


def convert_adapter(folder: Path, base: Path, path: Path) -> Path:
    """Write the adapter in ``folder``, trained on the checkpoint in ``base``, to ``path``.

    llama.cpp scales by alpha / rank, one alpha for all: where peft scales otherwise (rsLoRA, ranks
    or alphas of some layers), the difference is multiplied into B.

    Raises:
        ArtifactError: it is no LoRA adapter, or one that llama.cpp cannot lay over a model (DoRA,
            whole layers, embeddings): merge it instead. Or the disk is full.
    """
    told = _told(folder)
    config = CheckpointConfig(base)
    architecture = architecture_of(config)
    names, weights = Names(config, architecture), Weights([folder / "adapter_model.safetensors"])
    with writing(path, architecture.family) as writer:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(told["lora_alpha"]))
        for name in weights:
            for tensor in _halves(name, weights, names, told, folder):
                writer.add_tensor(tensor.name, Blocks(tensor), raw_dtype=tensor.type)
    return path


def _told(folder: Path) -> dict[str, Any]:
    path = folder / "adapter_config.json"
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ArtifactError(f"{path}: is no JSON: {error}") from None
    if told.get("peft_type") != "LORA":
        raise ArtifactError(f"{path}: is a {told.get('peft_type')}, no LORA; merge it instead")
    for setting, what in (("use_dora", "DoRA"), ("modules_to_save", "whole layers")):
        if told.get(setting):
            raise ArtifactError(
                f"{path}: holds {what}, which llama.cpp cannot lay over a model; merge it instead"
            )
    if told.get("bias", "none") != "none":
        raise ArtifactError(f"{path}: holds biases, which no GGUF adapter has; merge it instead")
    return told


def _halves(
    name: str, weights: Weights, names: Names, told: Mapping[str, Any], folder: Path
) -> list[Tensor]:
    """A and B of one layer, told at A; llama.cpp's own order of rows applies to B's."""
    found = _FORM.fullmatch(name)
    if found is None:
        raise ArtifactError(
            f"{folder}: {name} is nothing that a GGUF adapter has; merge it instead"
        )
    if found["half"] == "B":
        return []
    layer, first = f"{found['layer']}.weight", weights[name]
    other = name.replace(".lora_A.", ".lora_B.")
    if other not in weights:
        raise ArtifactError(f"{folder}: {name} has no other half, {other}")
    written, second = names.of(layer), weights[other].read(slice(None))
    second *= _scale(found["layer"], first.shape[0], told)
    return [
        Tensor(f"{written}.lora_a", first, TYPES["f32"]),
        Tensor(
            f"{written}.lora_b",
            Rows(second, bfloat16=False),
            TYPES["f32"],
            names.order(layer),
        ),
    ]


def _scale(layer: str, rank: int, told: Mapping[str, Any]) -> np.float32:
    """peft's scaling of a layer over llama.cpp's alpha / rank."""
    alpha = next(
        (
            value
            for pattern, value in (told.get("alpha_pattern") or {}).items()
            if re.fullmatch(rf"(.*\.)?{pattern}", layer)
        ),
        told["lora_alpha"],
    )
    wanted = alpha / (math.sqrt(rank) if told.get("use_rslora") else rank)
    return np.float32(wanted / (told["lora_alpha"] / rank))
