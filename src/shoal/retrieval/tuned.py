"""The certified adapter of a collection, as it lies in its folder, and as searches find it; and
when a certificate has lapsed."""

import logging
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.errors import ArtifactError
from shoal.retrieval.adapter import Adapter, digest_of
from shoal.retrieval.gain import CERTIFICATE, GainCertificate, files_of_gain, replace_file

FOLDER = "adapter"
RERANKER = "reranker"
"""The folders within a collection's."""

_DIGITS = 16  # of its digest, in an adapter's name

log = logging.getLogger(__name__)
Seen = tuple[int, int, int] | None


class Adapted(Struct, frozen=True):
    """The adapter in force and the digest of its file; none: None and ""."""

    adapter: Adapter | None
    model: str


_CAME = "it was tested without the adapter that came since"
_PLAIN = Adapted(None, "")


class Tuned:
    """The adapter in ``folder`` for questions encoded by the encoder with this digest. What another
    process puts there, or removes, the next search finds. Safe to use from several threads."""

    def __init__(self, folder: Path, encoder: str) -> None:
        self._folder, self._encoder = folder, encoder
        self._known: tuple[Seen, Adapted] = None, _PLAIN

    def now(self) -> Adapted:
        """The one in force. None where there is none, its certificate is for another encoder, or
        its files are damaged, which is logged once: search then goes on as without."""
        there = seen(self._folder / CERTIFICATE)
        known = self._known
        if there != known[0]:
            self._known = known = there, self._read()
        return known[1]

    def _read(self) -> Adapted:
        try:
            found = certificate_in(self._folder)
            if found is None or lapse(found, self._encoder):
                return _PLAIN
            return Adapted(_adapter(self._folder, found.model), found.model)
        except ArtifactError as error:
            log.warning("the adapter is not used: %s; tune the collection again", error)
            return _PLAIN


def certificate_in(folder: Path) -> GainCertificate | None:
    """The certificate in a folder; None if there is none.

    Raises:
        ArtifactError: it cannot be read as one.
    """
    path = folder / CERTIFICATE
    try:
        return msgspec.json.decode(path.read_bytes(), type=GainCertificate)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from error


def lapse(proof: GainCertificate, encoder: str, adapter: str = "") -> str:
    """Why a certificate is no longer for a collection with this encoder and adapter, by digest; ""
    if it is. An adapter's own is for the search without any."""
    if proof.encoder != encoder:
        return "it is for another encoder"
    if proof.adapter != adapter:
        return "the adapter that it was tested over is gone" if proof.adapter else _CAME
    return ""


class Standing(Struct, frozen=True):
    """What a collection was tuned with: its certificate, and why that has ``lapsed``, "" if not."""

    proof: GainCertificate
    lapsed: str

    def describe(self) -> str:
        """In a few words."""
        return f"{self.proof.what}, not used: {self.lapsed}" if self.lapsed else self.proof.what


def standings(folder: Path, encoder: str) -> list[Standing]:
    """Of the collection in a folder, whose vectors are of the encoder with this digest: its adapter
    and its reranker, as far as it has them.

    Raises:
        ArtifactError: a certificate cannot be read.
    """
    found, adapter = list[Standing](), ""
    if proof := certificate_in(folder / FOLDER):
        found.append(Standing(proof, lapse(proof, encoder)))
        adapter = "" if found[0].lapsed else proof.model
    if proof := certificate_in(folder / RERANKER):
        found.append(Standing(proof, lapse(proof, encoder, adapter)))
    return found


def install(folder: Path, data: bytes, certificate: GainCertificate) -> None:
    """Put a packed adapter and its certificate in place of what there is.

    Raises:
        StoreError: they cannot be written; what was there stays.
    """
    path = _path(folder, certificate.model)
    replace_file(path, data)
    replace_file(folder / CERTIFICATE, msgspec.json.encode(certificate))
    for other in folder.glob("*.safetensors"):
        if other != path:
            other.unlink(missing_ok=True)


def files_of_tuned(folder: Path) -> list[Path]:
    """What there is of it: its certificate and the adapter that this is for, and what was spent.

    Raises:
        ArtifactError: the certificate cannot be read.
    """
    found = certificate_in(folder)
    packed = [] if found is None else [_path(folder, found.model)]
    return files_of_gain(folder) + [path for path in packed if path.is_file()]


def verify(folder: Path) -> None:
    """See that the adapter, if there is one, is what its certificate is for.

    Raises:
        ArtifactError: it is not.
    """
    found = certificate_in(folder)
    if found is not None:
        _adapter(folder, found.model)


def withdraw(folder: Path) -> bool:
    """Remove the certificate, so that the adapter is used no more; whether there was one. What was
    spent of the error budget stays spent."""
    path = folder / CERTIFICATE
    was_there = path.exists()
    path.unlink(missing_ok=True)
    return was_there


def _adapter(folder: Path, digest: str) -> Adapter:
    path = _path(folder, digest)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from error
    if digest_of(data) != digest:
        raise ArtifactError(f"{path}: damaged: it is not what its certificate is for")
    return Adapter.unpacked(data)


def _path(folder: Path, digest: str) -> Path:
    return folder / f"{digest[:_DIGITS]}.safetensors"


def seen(path: Path) -> Seen:
    """What changes whenever the file does; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
