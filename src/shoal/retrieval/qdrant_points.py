"""What a collection's vectors are called in Qdrant, and how they go."""

import hashlib
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from shoal.retrieval.qdrant_place import QdrantPlace, told
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_rows import Former


def points_name(name: str, encoder: str, made: str) -> str:
    """Of the collection ``name``, as it was ``made`` for this encoder."""
    digest = hashlib.sha256(f"{encoder} {made}".encode()).hexdigest()[:12]
    return f"shoal-{name}-{digest}"


def points_of(shelf: Shelf, name: str) -> list[str]:
    """All that there may be of a shelf, of what it was before too."""
    every = [*shelf.former(), Former(shelf.encoder, shelf.made)]
    return [points_name(name, one.encoder, one.made) for one in every]


def drop_points(place: QdrantPlace, names: Iterable[str]) -> None:
    """Remove what is called so; what is not there is as good as removed.

    Raises:
        MissingExtra, ConfigError, StoreError: as ``QdrantPlace.client``, or Qdrant refuses.
    """
    with closing(place.client()) as client:
        drop_by(client, names)


def drop_by(client: Any, names: Iterable[str]) -> None:
    """The same, by a client that is open.

    Raises:
        StoreError: Qdrant refuses.
    """
    for each in names:
        with told(each):
            if client.collection_exists(each):
                client.delete_collection(each)
