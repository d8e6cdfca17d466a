"""Model files, by the digest of what they hold: a folder each, with a manifest.

The digest is the SHA-256 of the manifest, which holds the SHA-256 and the size of every file, so a
folder that opens is byte for byte the one that was put.
"""

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.errors import ArtifactError

_MANIFEST = "manifest.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Entry(Struct, frozen=True):
    """One file of an artifact: SHA-256 in hexadecimal, size in bytes."""

    sha256: str
    size: int


_manifest = msgspec.json.Decoder(dict[str, Entry])


class Artifacts:
    """The artifacts in one folder. Safe for several processes to put into and open from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, source: Path) -> str:
        """Copy the files of ``source`` in; returns their digest. Putting the same twice is nothing.

        They are on the disk, and appear all at once, when this returns.

        Raises:
            ArtifactError: ``source`` is no folder, is empty, or holds a link or ``manifest.json``;
                or the system refuses (disk full …).
        """
        names = _names(source)
        incoming = self._folder / f".incoming-{secrets.token_hex(8)}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            incoming.mkdir(mode=0o700)
            digest = _copy_all(source, names, incoming)
            self._adopt(incoming, digest)
        except OSError as error:
            raise ArtifactError(f"{source}: cannot be stored: {error.strerror}") from error
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return digest

    def open(self, digest: str) -> Path:
        """The folder of an artifact, after checking every byte of it.

        Raises:
            ArtifactError: there is none, or a file of it is missing, cut short, changed or new; the
                message names the file.
        """
        folder = self._path(digest)
        manifest = _read_manifest(folder, digest)
        for name, entry in manifest.items():
            _check(folder / name, entry)
        for name in _files(folder):
            if name != _MANIFEST and name not in manifest:
                raise ArtifactError(f"{folder / name}: not part of the artifact; remove it")
        return folder

    def remove_unused(self, keep: Collection[str]) -> list[str]:
        """Remove all artifacts but those in ``keep``; returns the digests removed.

        An artifact that was put and is named by no card yet counts as unused, so whoever puts them
        should be the one who removes them.
        """
        unused = [digest for digest in self.list() if digest not in keep]
        for digest in unused:
            shutil.rmtree(self._path(digest))
        return unused

    def _adopt(self, incoming: Path, digest: str) -> None:
        target = self._path(digest)
        if target.exists():
            try:
                self.open(digest)
            except ArtifactError:
                target.rename(incoming.with_name(incoming.name + "-damaged"))
                shutil.rmtree(incoming.with_name(incoming.name + "-damaged"))
            else:
                return
        try:
            incoming.rename(target)
        except OSError:
            self.open(digest)  # another process put the same meanwhile
        _sync(self._folder)

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ArtifactError(f"{digest!r} is not the digest of an artifact (64 hex digits)")
        return self._folder / digest

    def list(self) -> list[str]:
        """The digests of all artifacts, in order."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if _DIGEST.fullmatch(path.name))


def _names(source: Path) -> list[str]:
    if not source.is_dir():
        raise ArtifactError(f"{source}: no such folder")
    names = _files(source)
    if not names:
        raise ArtifactError(f"{source}: holds no files")
    if _MANIFEST in names:
        raise ArtifactError(f"{source / _MANIFEST}: this name is the store's own; rename the file")
    return names


def _files(folder: Path) -> list[str]:
    """The files under ``folder``, as paths relative to it with "/" between the parts."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise ArtifactError(f"{path}: is a link; artifacts hold files only")
        if not path.is_dir():
            found.append(path.relative_to(folder).as_posix())
    return found


def _copy_all(source: Path, names: list[str], target: Path) -> str:
    entries = {name: _copy(source / name, target / name) for name in names}
    manifest = msgspec.json.format(msgspec.json.encode(entries), indent=1)
    _write(target / _MANIFEST, manifest)
    return hashlib.sha256(manifest).hexdigest()


def _copy(source: Path, target: Path) -> Entry:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    return Entry(_sha256(target), target.stat().st_size)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_manifest(folder: Path, digest: str) -> dict[str, Entry]:
    path = folder / _MANIFEST
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise ArtifactError(f"{path}: is not what the digest in its folder's name says")
    return _manifest.decode(content)


def _check(path: Path, entry: Entry) -> None:
    try:
        size = path.stat().st_size
        if size != entry.size:
            what = "truncated" if size < entry.size else "too long"
            raise ArtifactError(f"{path}: {what}: {size} bytes instead of {entry.size}")
        found = _sha256(path)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from error
    if found != entry.sha256:
        raise ArtifactError(f"{path}: changed: its SHA-256 is not the one in the manifest")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
