"""A checkpoint of Hugging Face's form → one GGUF, with tokenizer and chat template."""

import logging
from pathlib import Path

import gguf

from shoal.training.gguf.architectures import architecture_of
from shoal.training.gguf.blocks import Blocks
from shoal.training.gguf.checkpoint_config import CheckpointConfig
from shoal.training.gguf.files import writing
from shoal.training.gguf.rope import write_rope
from shoal.training.gguf.settings import write_settings
from shoal.training.gguf.tensors import TYPES, Precision, Tensor, plan
from shoal.training.gguf.vocabulary import name_for, write_vocabulary
from shoal.training.gguf.weights import Rows, Weights

FILE_TYPES: dict[Precision, gguf.LlamaFileType] = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}


def convert(folder: Path, path: Path, precision: Precision = "q8_0", name: str = "") -> Path:
    """Write the model in ``folder`` to ``path``; ``name`` is what the file says it is called.

    The memory needed is that of some rows, whatever the model's size.

    Raises:
        ArtifactError: the checkpoint is damaged, its architecture, tokenizer or kind of rope is not
            known, or the disk is full; ``path`` is then as it was.
    """
    logging.getLogger("gguf").setLevel(logging.WARNING)
    config, weights = CheckpointConfig(folder), Weights.of(folder)
    architecture = architecture_of(config)
    with writing(path, architecture.family) as writer:
        write_settings(writer, config, architecture, name_for(name or folder.name, folder))
        writer.add_file_type(FILE_TYPES[precision])
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        write_vocabulary(writer, folder, int(config.must("vocab_size")))
        for factors, numbers in write_rope(writer, config).items():
            _add(writer, Tensor(factors, Rows(numbers, bfloat16=False), TYPES["f32"]))
        for tensor in plan(weights, config, architecture, precision):
            _add(writer, tensor)
    return path


def _add(writer: gguf.GGUFWriter, tensor: Tensor) -> None:
    writer.add_tensor(tensor.name, Blocks(tensor), raw_dtype=tensor.type)
