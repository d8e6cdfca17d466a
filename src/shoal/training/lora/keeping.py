"""Checkpoints that are whole or not there, and the last of them that is.

A trainer writes a checkpoint file by file. Here each is sealed when all its files are on the disk:
what is not sealed, or no longer as it was sealed, is not taken up.
"""

import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

log = logging.getLogger(__name__)
SEAL = "whole.json"
IDENTITY = "identity.json"


class Keeping:
    """To be mixed in before a trainer of trl: a checkpoint that cannot be written (a full disk) is
    taken away again, and the training goes on."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        here: Any = self
        folder = Path(here.args.output_dir) / f"checkpoint-{here.state.global_step}"
        best = here.state.best_model_checkpoint
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
            seal(folder)
        except (
            OSError,
            RuntimeError,
            SafetensorError,
        ) as error:  # torch's writer raises the second
            shutil.rmtree(folder, ignore_errors=True)
            here.state.best_model_checkpoint = best
            log.warning("%s: this checkpoint could not be kept: %s", folder, error)


def seal(folder: Path) -> None:
    """Say that all files of the folder are whole, once they are on the disk."""
    sizes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != SEAL:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sizes[str(path.relative_to(folder))] = path.stat().st_size
    replace(folder / SEAL, json.dumps(sizes))


def is_whole(folder: Path) -> bool:
    """Whether a folder was sealed, and has what it had then."""
    try:
        sizes = json.loads((folder / SEAL).read_text())
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def last_whole(folder: Path, identity: str) -> Path | None:
    """The last checkpoint of the same training; those of another, and broken ones, are removed."""
    known = folder / IDENTITY
    try:
        is_same = json.loads(known.read_text()) == identity
    except (OSError, ValueError):
        is_same = False
    kept = []
    for checkpoint in folder.glob("checkpoint-*"):
        if is_same and is_whole(checkpoint):
            kept.append(checkpoint)
        else:
            shutil.rmtree(checkpoint, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    replace(known, json.dumps(identity))
    return max(kept, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def replace(path: Path, text: str) -> None:
    """Write a file whole, or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
