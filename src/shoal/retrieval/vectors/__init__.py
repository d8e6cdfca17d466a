"""Search by meaning: the nearest of many vectors, kept in files beside the collection's store."""

from shoal.retrieval.cursor import Cursor
from shoal.retrieval.vectors.index import VectorIndex
from shoal.retrieval.vectors.plans import Limits

__all__ = ["Cursor", "Limits", "VectorIndex"]
