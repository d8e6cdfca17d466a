"""Rotary positions (Su et al. 2021) and their stretchings, as llama.cpp wants them told."""

import math
from typing import Any

import numpy as np
from gguf import GGUFWriter, RopeScalingType
from numpy.typing import NDArray

from shoal.errors import ArtifactError
from shoal.training.gguf.checkpoint_config import CheckpointConfig

Factors = dict[str, NDArray[np.float32]]
"""Tensors by name, each (width / 2,): what the frequencies are divided by."""


def write_rope(writer: GGUFWriter, config: CheckpointConfig) -> Factors:
    """Write the settings of rope, and hand back the tensors that go with them.

    Raises:
        ArtifactError: a kind of rope that is not known here.
    """
    rope = config.rope
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(_width(config))
    match rope["rope_type"]:
        case "default":
            return {}
        case "linear":
            writer.add_rope_scaling_type(RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(rope["factor"])
            return {}
        case "yarn":
            return _yarn(writer, config, rope)
        case "llama3":
            return {"rope_freqs.weight": _llama3(config, rope)}
        case "longrope" | "su":
            return _longrope(writer, config, rope)
        case other:
            raise ArtifactError(
                f"{config.path}: rope of type {other!r} cannot be written; known are default, "
                "linear, yarn, llama3, longrope"
            )


def _width(config: CheckpointConfig) -> int:
    return int(config.head_width * config.rope["partial_rotary_factor"])


def _yarn(writer: GGUFWriter, config: CheckpointConfig, rope: dict[str, Any]) -> Factors:
    """Peng et al. 2023."""
    if rope.get("attention_factor") is not None or rope.get("mscale") is not None:
        raise ArtifactError(f"{config.path}: yarn with an attention factor of its own is not known")
    writer.add_rope_scaling_type(RopeScalingType.YARN)
    writer.add_rope_scaling_factor(rope["factor"])
    writer.add_rope_scaling_orig_ctx_len(
        rope.get("original_max_position_embeddings") or config.must("max_position_embeddings")
    )
    writer.add_rope_scaling_yarn_beta_fast(rope.get("beta_fast") or 32.0)
    writer.add_rope_scaling_yarn_beta_slow(rope.get("beta_slow") or 1.0)
    return {}


def _llama3(config: CheckpointConfig, rope: dict[str, Any]) -> NDArray[np.float32]:
    """Llama 3.1's: long waves are stretched, short ones left, those between in between."""
    width, factor = _width(config), rope["factor"]
    before = rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    waves = 2 * math.pi * rope["rope_theta"] ** (np.arange(0, width, 2) / width)
    smooth = np.clip((before / waves - low) / (high - low), 0, 1)
    return np.asarray(1 / ((1 - smooth) / factor + smooth), np.float32)


def _longrope(writer: GGUFWriter, config: CheckpointConfig, rope: dict[str, Any]) -> Factors:
    """Ding et al. 2024, as Phi-3 has it. llama.cpp takes the long factors if its context is longer
    than the one trained on first, transformers if the text is."""
    before = config.get(
        "original_max_position_embeddings", rope.get("original_max_position_embeddings")
    )
    if before is None:
        raise ArtifactError(f"{config.path}: `original_max_position_embeddings` is missing")
    stretch = config.must("max_position_embeddings") / before
    factor = rope.get("attention_factor")
    if factor is None:
        factor = math.sqrt(1 + math.log(stretch) / math.log(before)) if stretch > 1 else 1.0
    writer.add_rope_scaling_attn_factors(factor)
    writer.add_rope_scaling_orig_ctx_len(before)
    factors = {
        f"rope_factors_{length}.weight": np.array(rope[f"{length}_factor"], np.float32)
        for length in ("long", "short")
    }
    if any(len(found) != _width(config) // 2 for found in factors.values()):
        raise ArtifactError(f"{config.path}: rope needs {_width(config) // 2} factors of each kind")
    return factors
