"""The certified reranker of a collection, as it lies in its folder, and as searches find it.

Its files are an artifact, opened with every byte checked; beside the specialist's stands how it is
asked. It is loaded by the first search that needs it.
"""

import logging
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.assembly.reranking import CONTRACT, MatchReranker
from shoal.errors import ArtifactError
from shoal.retrieval.collection import Collection
from shoal.retrieval.gain import CERTIFICATE
from shoal.retrieval.intake import Encodes
from shoal.retrieval.qdrant_place import QdrantPlace
from shoal.retrieval.rerank import Reranking
from shoal.retrieval.tuned import RERANKER, Seen, certificate_in, lapse, seen
from shoal.specialists.files import read_model
from shoal.specialists.match import restore_match
from shoal.specialists.specialist import Specialist
from shoal.storage.artifacts import Artifacts

log = logging.getLogger(__name__)

_MODELS = "models"  # within its folder
_ASKED = "reranking.json"


class Asked(Struct, frozen=True):
    """How a reranker is asked: as in ``Reranking``."""

    weight: float
    most: int
    close: float


class KeptReranker:
    """The reranker in ``folder`` for a collection with the encoder of this digest. What another
    process puts there, or removes, the next search finds. Safe to use from several threads."""

    def __init__(self, folder: Path, encoder: str) -> None:
        self._folder, self._encoder = folder, encoder
        self._known: tuple[Seen, str, Reranking | None] = None, "", None

    def in_force(self, adapter: str) -> Reranking | None:
        """The one that is certified over the adapter of this digest, "" over none. None where there
        is none, its certificate has lapsed, or its files are damaged, which is logged once: search
        then goes on as without."""
        there = seen(self._folder / CERTIFICATE)
        known = self._known
        if (there, adapter) != known[:2]:
            self._known = known = there, adapter, self._read(adapter) if there else None
        return known[2]

    def _read(self, adapter: str) -> Reranking | None:
        try:
            proof = certificate_in(self._folder)
            if proof is None:
                return None
            if why := lapse(proof, self._encoder, adapter):
                log.info("the reranker in %s is not used: %s", self._folder, why)
                return None
            return load(self._folder, proof.model)
        except ArtifactError as error:
            log.warning("the reranker is not used: %s; train it again", error)
            return None


def keep(folder: Path, specialist: Specialist, asked: Asked) -> str:
    """Put a reranker's files beside those there are; their digest. It is not used before there is a
    certificate for it.

    Raises:
        ArtifactError: they cannot be written.
    """
    with tempfile.TemporaryDirectory() as made:
        specialist.save(Path(made))
        (Path(made) / _ASKED).write_bytes(msgspec.json.encode(asked))
        return _artifacts(folder).put(Path(made))


def clear(folder: Path) -> None:
    """Remove the files of all rerankers but the certified one's."""
    proof = certificate_in(folder)
    _artifacts(folder).remove_unused([proof.model] if proof else [])


def load(folder: Path, digest: str) -> Reranking:
    """What ``keep`` put.

    Raises:
        ArtifactError: it is not there, damaged, or needs what is not installed.
    """
    found = _artifacts(folder).open(digest)
    model, arrays = read_model(found)
    try:
        asked = msgspec.json.decode((found / _ASKED).read_bytes(), type=Asked)
        specialist = restore_match(CONTRACT, model, arrays, None)
        return Reranking(MatchReranker(specialist), asked.weight, asked.most, asked.close)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{found}: its files do not fit: {error!r}") from error


def open_collection(
    folder: Path, encoder: Encodes, qdrant: QdrantPlace | None = None
) -> Collection:
    """An open collection, searched with its reranker where one is in force.

    Raises:
        NotFound, Conflict, MissingExtra, ConfigError, StoreError: as ``Collection`` does.
    """
    kept = KeptReranker(folder / RERANKER, encoder.digest)
    return Collection(folder, encoder, kept, qdrant)


def _artifacts(folder: Path) -> Artifacts:
    return Artifacts(folder / _MODELS)
