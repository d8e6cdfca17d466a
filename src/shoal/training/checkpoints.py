"""Checkpoints to begin from: a folder here, or a repository of the Hugging Face hub."""

import hashlib
from pathlib import Path

from shoal.errors import ArtifactError

_WANTED = ["*.json", "*.safetensors", "*.model", "*.jinja"]
_TALKS = ("tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json")
_EXPECTED = "expected a folder with config.json, or OWNER/REPOSITORY[@REVISION] of the hub"


def checkpoint_of(source: str) -> Path:
    """The folder of a checkpoint; one of the hub is loaded into the hub's own cache first.

    Raises:
        ArtifactError: there is none, or it cannot be had.
    """
    here = Path(source).expanduser()
    if (here / "config.json").is_file():
        return here
    repository, _, revision = source.partition("@")
    if here.exists() or repository.count("/") != 1 or source.startswith((".", "/", "~")):
        raise ArtifactError(f"{source}: no checkpoint; {_EXPECTED}")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(repository, revision=revision or None, allow_patterns=_WANTED)
        )
    except Exception as error:  # the hub's HTTP client has errors of its own
        said = " ".join(str(error).split())[:300] or type(error).__name__
        raise ArtifactError(f"{source}: not to be had from the hub: {said}") from error


def checkpoint_form(folder: Path) -> str:
    """What tells a checkpoint from others, its tokenizer and chat template included, without
    reading gigabytes: of weights name, size, and when they were written; of the rest its bytes.

    Raises:
        ArtifactError: it has no ``config.json``.
    """
    found = hashlib.sha256()
    try:
        found.update((folder / "config.json").read_bytes())
        for path in sorted({one for pattern in _TALKS for one in folder.glob(pattern)}):
            if path.is_file():
                found.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
        for path in sorted(folder.glob("*.safetensors")):
            told = path.stat()
            found.update(f"{path.name} {told.st_size} {told.st_mtime_ns} ".encode())
    except OSError as error:
        raise ArtifactError(f"{folder}: cannot be read: {error.strerror}") from None
    return found.hexdigest()
