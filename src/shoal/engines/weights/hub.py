"""Model files from the Hugging Face hub: found by ``huggingface_hub``, compared with the digest
that the hub told."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from shoal.engines.weights.download import PART, download
from shoal.engines.weights.source import HubSource, quantisation_of, shards_of
from shoal.errors import ArtifactError

_MOST_SAID = 300  # characters of what the hub says
_SHOWN = 12  # files of a repository
_SPARE = 256 * 1024 * 1024  # bytes of the disk that stay free
_ODD = frozenset("\\:\0\n\r")
_PREFERRED = ("Q4_K_M", "Q4_0", "Q4_K_S", "Q5_K_M", "Q8_0")


class HubFile(Struct, frozen=True):
    """A file of a repository: its name there, bytes, and SHA-256 as the hub tells it ("" if it
    tells none)."""

    name: str
    size: int
    sha256: str


class Listing(Struct, frozen=True):
    """The GGUF files of a repository at one commit."""

    repository: str
    commit: str
    files: tuple[HubFile, ...]


Told = Callable[[HubFile, int], None]
"""Told how many bytes of a file are there."""


def listing(source: HubSource) -> Listing:
    """What the repository has.

    Raises:
        ArtifactError: it is not there, not for everybody, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    try:
        info = HfApi().model_info(source.repository, revision=source.revision, files_metadata=True)
    except Exception as error:  # the hub's HTTP client has errors of its own
        raise ArtifactError(f"{source}: not to be had from the hub: {_said(error)}") from error
    files = tuple(
        HubFile(one.rfilename, one.size or 0, one.lfs.sha256 if one.lfs else "")
        for one in info.siblings or ()
        if one.rfilename.lower().endswith(".gguf")
    )
    commit = info.sha or source.revision
    if odd := next((one for one in (commit, *(f.name for f in files)) if not _is_inside(one)), ""):
        raise ArtifactError(f"{source}: the hub tells of {odd!r}, which is no name of a file there")
    if not files:
        raise ArtifactError(
            f"{source}: no GGUF file; look for a repository whose name ends in -GGUF"
        )
    return Listing(source.repository, commit, files)


def chosen(source: HubSource, found: Listing) -> list[HubFile]:
    """The files of the model that was meant: by name, by quantisation, or the usual one.

    Raises:
        ArtifactError: there is none, or several; the message lists what there is.
    """
    by_name = {file.name: file for file in found.files}
    heads = [name for name in by_name if shards_of(name)[0] == name]
    if source.file:
        heads = [name for name in heads if name == shards_of(source.file)[0]]
    elif source.quantisation:
        heads = [name for name in heads if quantisation_of(name) == source.quantisation.upper()]
    elif len(heads) > 1:
        usual = [name for kind in _PREFERRED for name in heads if quantisation_of(name) == kind]
        heads = usual[:1]
    if len(heads) != 1:
        raise ArtifactError(
            f"{source}: {'several files fit' if heads else 'no such file'}; there are:\n"
            + _told(found.files)
        )
    parts = shards_of(heads[0])
    if missing := [name for name in parts if name not in by_name]:
        raise ArtifactError(f"{source}: its part {missing[0]} is missing on the hub")
    return [by_name[name] for name in parts]


def fetch(found: Listing, files: Sequence[HubFile], folder: Path, told: Told) -> list[Path]:
    """Load the files into ``folder``; what is there already is not loaded again.

    Raises:
        ArtifactError: the disk is too small, the hub cannot be reached, or what came is not what
            the hub told.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _check_room(files, folder)
    return [_fetched(found, file, folder / file.name, told) for file in files]


def _fetched(found: Listing, file: HubFile, path: Path, told: Told) -> Path:
    from huggingface_hub import get_hf_file_metadata, get_token, hf_hub_url

    if not path.is_file():
        url = hf_hub_url(found.repository, file.name, revision=found.commit)
        try:
            place = get_hf_file_metadata(url)
        except Exception as error:  # the hub's HTTP client has errors of its own
            raise ArtifactError(
                f"{found.repository}: {file.name} is not to be had: {_said(error)}"
            ) from error
        # Where the hub names another host, the address itself is the permission.
        token = get_token() if place.location == url else None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        path.parent.mkdir(parents=True, exist_ok=True)
        download(place.location, headers, path, file.size, partial(told, file))
    if file.sha256 and digest_of(path) != file.sha256:
        path.unlink()
        raise ArtifactError(
            f"{path}: is not what the hub told (its SHA-256 is another); removed, try again"
        )
    return path


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from None


def _is_inside(name: str) -> bool:
    """Whether a name stays within the folder that it is put into, on any system."""
    parts = name.split("/")
    return bool(name) and not any(part in ("", ".", "..") or _ODD & set(part) for part in parts)


def _check_room(files: Sequence[HubFile], folder: Path) -> None:
    missing = sum(file.size - _there(folder / file.name) for file in files)
    free = shutil.disk_usage(folder).free
    if missing + _SPARE > free:
        raise ArtifactError(
            f"{folder}: {missing / 1e9:.1f} GB are to come, and {free / 1e9:.1f} GB of the disk "
            f"are free"
        )


def _there(path: Path) -> int:
    """Bytes of a file that have come already."""
    parts = (path, path.with_name(path.name + PART))
    return next((part.stat().st_size for part in parts if part.is_file()), 0)


def _told(files: Sequence[HubFile]) -> str:
    shown = [f"  {file.name}  {file.size / 1e9:.1f} GB" for file in files[:_SHOWN]]
    more = len(files) - _SHOWN
    return "\n".join(shown + ([f"  and {more} more"] if more > 0 else []))


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:_MOST_SAID] or type(error).__name__
