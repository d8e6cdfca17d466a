"""A specialist's files: ``model.json`` and ``model.safetensors``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from shoal.errors import ArtifactError

FORMAT = 1


def write_model(folder: Path, model: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Write both files; arrays are made contiguous, as safetensors wants them."""
    text = json.dumps({"format": FORMAT, **model}, ensure_ascii=False, sort_keys=True)
    (folder / "model.json").write_text(text, encoding="utf-8")
    solid = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(solid, folder / "model.safetensors")


def read_model(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read both files. Raises ArtifactError if one is missing, damaged or of another format."""
    try:
        model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ArtifactError(f"{folder}: cannot read the specialist: {error}") from error
    found = model.get("format") if isinstance(model, dict) else None
    if found != FORMAT:
        raise ArtifactError(
            f"{folder}: format {found}, this version reads {FORMAT}: train it again"
        )
    return model, arrays
