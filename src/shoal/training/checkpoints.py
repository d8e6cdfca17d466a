"""Checkpoints to begin from: a folder here, or a repository of the Hugging Face hub."""

from pathlib import Path

from shoal.errors import ArtifactError

_WANTED = ["*.json", "*.safetensors", "*.model", "*.jinja"]
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
