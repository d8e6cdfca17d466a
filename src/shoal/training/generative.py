"""The door to the training of generative models; each stage can be run again after a kill.

    fine_tune → merge → to_gguf, or fine_tune → adapter_to_gguf; tune_rewriter → to_ctranslate2

Importing this loads neither torch nor gguf; what needs them refuses by the name of the extra.
"""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import MissingExtra
from shoal.tasks import Contract
from shoal.training.lora.chat_examples import ChatExample
from shoal.training.lora.options import TuningOptions

if TYPE_CHECKING:
    from shoal.training.encoder_decoder import RewritingOptions
    from shoal.training.gguf.tensors import Precision
    from shoal.training.lora.judging import Judged
    from shoal.training.lora.outcome import Tuned
    from shoal.training.lora.progress import Progress


def fine_tune(
    base: Path,
    examples: Sequence[ChatExample],
    folder: Path,
    options: TuningOptions | None = None,
    *,
    calibration: Sequence[str] = (),
    teacher: Path | None = None,
    watch: "Callable[[Progress], None] | None" = None,
) -> "Tuned":
    """Tune the checkpoint in ``base`` on the examples; ``folder`` holds the training and then the
    adapter. Killed at whatever moment, the same call goes on where it was.

    ``calibration`` are the requests (``preparation.text_of``) that the certificate will rest on:
    examples like them are left out. ``teacher`` is the checkpoint that recipe "distil" learns from.

    Raises:
        MissingExtra: the extra ``train`` is not installed.
        ArtifactError: the base (or teacher) is missing or damaged.
        LearningError: nothing to learn from, no chat template, a model too large for this machine,
            a teacher with other tokens, or none for recipe "distil".
    """
    _need("train", "fine-tuning", "torch", "transformers", "peft", "trl")
    from shoal.errors import LearningError
    from shoal.training.lora.tuning import tune

    options = options or TuningOptions()
    if (options.recipe == "distil") != (teacher is not None):
        raise LearningError("a teacher belongs to the recipe 'distil', and it to a teacher")
    return tune(base, examples, folder, options, calibration, teacher, watch)


def merge(base: Path, adapter: Path, folder: Path) -> Path:
    """Write base and adapter as one checkpoint; see ``shoal.training.lora.merging``."""
    _need("train", "merging an adapter", "torch", "transformers", "peft")
    from shoal.training.lora.merging import merge as merged

    return merged(base, adapter, folder)


def to_gguf(folder: Path, path: Path, precision: "Precision" = "q8_0", name: str = "") -> Path:
    """Write a checkpoint as GGUF; see ``shoal.training.gguf.conversion``."""
    _need("local", "writing GGUF", "gguf")
    from shoal.training.gguf.conversion import convert

    return convert(folder, path, precision, name)


def adapter_to_gguf(adapter: Path, base: Path, path: Path) -> Path:
    """Write an adapter as GGUF; see ``shoal.training.gguf.adapter``."""
    _need("local", "writing GGUF", "gguf")
    from shoal.training.gguf.adapter import convert_adapter

    return convert_adapter(adapter, base, path)


def tune_rewriter(
    base: Path,
    examples: Sequence[ChatExample],
    folder: Path,
    options: "RewritingOptions | None" = None,
    *,
    calibration: Sequence[str] = (),
    watch: "Callable[[Progress], None] | None" = None,
) -> "Tuned":
    """Tune all weights of an encoder–decoder (T5), as ``fine_tune`` does an adapter.

    Raises:
        MissingExtra, ArtifactError, LearningError: as ``fine_tune`` does.
    """
    _need("train", "fine-tuning", "torch", "transformers", "trl")
    from shoal.training.encoder_decoder import RewritingOptions, tune_encoder_decoder

    told = options or RewritingOptions()
    return tune_encoder_decoder(base, examples, folder, told, calibration, watch)


def to_ctranslate2(folder: Path, served: Path, quantization: str = "int8") -> Path:
    """Write an encoder–decoder for ``shoal.engines.encoder_decoder``."""
    _need("train", "converting an encoder–decoder", "torch", "transformers")
    from shoal.training.encoder_decoder import to_ctranslate2 as written

    return written(folder, served, quantization)


def evaluate(
    base: Path,
    adapter: Path | None,
    contract: Contract,
    examples: Sequence[ChatExample],
    tokens: int = 256,
) -> "Judged":
    """Let the model answer the examples and compare by the contract's comparator.

    Raises:
        MissingExtra: the extra ``train`` is not installed.
    """
    _need("train", "evaluating", "torch", "transformers", "peft")
    from shoal.training.lora.judging import judge, write

    return judge(contract, examples, write(base, adapter, examples, tokens))


def requantise(source: Path, path: Path, precision: "Precision") -> Path:
    """Write a GGUF file in fewer bits; see ``shoal.training.gguf.requantising``."""
    _need("local", "writing GGUF", "gguf")
    from shoal.training.gguf.requantising import requantise as requantised

    return requantised(source, path, precision)


def check_extras() -> None:
    """Whether a model can be tuned, written and served here: asked before gigabytes are loaded and
    hours go by.

    Raises:
        MissingExtra: names the extra that is not installed.
    """
    _need("train", "fine-tuning", "torch", "transformers", "peft", "trl")
    _need("local", "a model of one's own", "gguf", "xllamacpp")


def _need(extra: str, what: str, *modules: str) -> None:
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise MissingExtra(extra, what)
