"""An adapter multiplied into its base: a checkpoint of its own, no slower than the base was."""

import os
import shutil
from pathlib import Path

import peft
from safetensors import SafetensorError

from shoal.errors import ArtifactError
from shoal.training.lora.hardware import Hardware
from shoal.training.lora.loading import model_of

_BESIDE = (
    "tokenizer*", "special_tokens_map.json", "chat_template*", "generation_config.json",
    "added_tokens.json", "vocab.json", "merges.txt",
)  # fmt: skip


def merge(base: Path, adapter: Path, folder: Path) -> Path:
    """Write the merged checkpoint to ``folder``, tokenizer and chat template with it.

    Raises:
        ArtifactError: base or adapter cannot be loaded, do not belong together, or the disk is
            full; ``folder`` is then as it was.
    """
    cpu = Hardware("cpu", 0, has_bfloat16=False, has_four_bits=False)
    model = model_of(base, cpu)
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        merged = peft.PeftModel.from_pretrained(model, str(adapter)).merge_and_unload(
            safe_merge=True
        )
        shutil.rmtree(fresh, ignore_errors=True)
        merged.save_pretrained(fresh)
        for pattern in _BESIDE:
            for path in base.glob(pattern):
                shutil.copy2(path, fresh / path.name)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.replace(folder)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtifactError(f"{adapter}: cannot be merged into {base}: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder
