"""Where training stands: tensors as safetensors, the rest as JSON, written whole or not at all.

``state.json`` names the tensor file that belongs to it and is replaced last, by a rename; so
whenever a process dies, the folder holds one complete state.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

FORMAT = 1
_STATE = "state.json"


def write(folder: Path, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Replace what ``folder`` holds. Raises OSError if the system refuses (disk full …)."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"state-{state['epoch']}.safetensors"
    solid = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    _replace(folder / name, save(solid))
    text = json.dumps({"format": FORMAT, "tensors": name, **state}, indent=1)
    _replace(folder / _STATE, text.encode())
    for old in folder.glob("state-*.safetensors"):
        if old.name != name:
            with contextlib.suppress(FileNotFoundError):
                old.unlink()


def read(folder: Path, identity: str) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """What was written for the same ``identity``; None if there is nothing, or nothing usable."""
    try:
        state = json.loads((folder / _STATE).read_bytes())
        if state["format"] != FORMAT or state["identity"] != identity:
            return None
        return state, dict(load((folder / state["tensors"]).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under names that begin with ``prefix``."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin with ``prefix``, without it."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same numbers, apart from what they were copied from."""
    return {name: torch.clone(tensor.detach()) for name, tensor in tensors.items()}
