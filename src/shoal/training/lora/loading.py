"""Models and tokenizers as transformers loads them, from a folder on this machine and no other."""

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError

from shoal.errors import ArtifactError
from shoal.training.lora.hardware import Hardware
from shoal.training.lora.options import Method


def tokenizer_of(folder: Path) -> Any:
    """The tokenizer; one without a mark for padding pads with the mark of the end.

    Raises:
        ArtifactError: there is none.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder}: no tokenizer can be loaded: {_first(error)}") from None
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def model_of(folder: Path, hardware: Hardware, method: Method = "lora") -> Any:
    """The model with its head for the next token, frozen in 4 bits for QLoRA.

    Raises:
        ArtifactError: it is missing, damaged or of a kind that transformers does not know.
    """
    told: dict[str, Any] = {"dtype": torch.bfloat16 if hardware.has_bfloat16 else torch.float32}
    if hardware.device != "cpu":
        told["device_map"] = {"": hardware.device}
    if method == "qlora":
        told["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    if model_type(folder) == "gemma2":  # other ways to attend leave its soft caps out
        told["attn_implementation"] = "eager"
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, **told
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: the model cannot be loaded: {_first(error)}") from None


def model_type(folder: Path) -> str:
    """What ``config.json`` calls the kind of model.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{folder}: no model's folder: {_first(error)}") from None
    return str(config.model_type)


def weights_in(folder: Path) -> int:
    """How many weights the model has, from the headers of its files."""
    from shoal.training.gguf.weights import Weights

    found = Weights.of(folder)
    return sum(_count(found[name].shape) for name in found)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def _first(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
