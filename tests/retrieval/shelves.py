"""Shelves for tests: documents of made-up passages, with vectors that mean nothing."""

from pathlib import Path

import numpy as np

from shoal.retrieval.documents import Piece, Value
from shoal.retrieval.shelf import Shelf, Vectors, Written

DIM = 8


def new_shelf(folder: Path) -> Shelf:
    return Shelf.create(folder, "digest", DIM, 200)


def vector_of(text: str) -> Vectors:
    vector = np.random.default_rng([len(text), *text.encode()]).standard_normal(DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def written(name: str, *texts: str, **attributes: Value) -> Written:
    pieces = tuple(Piece(text, (name,)) for text in texts)
    return Written(
        name=name,
        title=name.title(),
        kind="text",
        digest=name.encode(),
        size=sum(map(len, texts)),
        modified_ns=1,
        attributes=attributes,
        pieces=pieces,
        vectors=np.array([vector_of(p.text) for p in pieces], np.float32).reshape(-1, DIM),
    )
