"""Shelves for tests: documents of made-up passages, with vectors that mean nothing. A passage has a
vector for each part between signs like |."""

from pathlib import Path

import numpy as np

from shoal.retrieval.documents import Piece, Value
from shoal.retrieval.shelf import Shelf
from shoal.retrieval.shelf_tables import Encoded, Vectors, Written

DIM = 8


def new_shelf(folder: Path) -> Shelf:
    return Shelf.create(folder, "digest", DIM, 200)


def vector_of(text: str) -> Vectors:
    vector = np.random.default_rng([len(text), *text.encode()]).standard_normal(DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def written(name: str, *texts: str, **attributes: Value) -> Written:
    passages = tuple(
        Encoded(Piece(text, (name,)), np.array([*map(vector_of, text.split("|"))]))
        for text in texts
    )
    return Written(
        name=name,
        title=name.title(),
        kind="text",
        digest=name.encode(),
        size=sum(map(len, texts)),
        modified_ns=1,
        attributes=attributes,
        passages=passages,
    )
