"""Vectors as tests search them, and an index that holds some."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shoal.retrieval.vectors import Cursor, Limits, VectorIndex
from shoal.retrieval.vectors.codes import unit

PLANS = {
    "exact": Limits(),
    "binary": Limits(exact=0),
    "cells": Limits(exact=0, binary=0),
}
DIM, ROWS = 32, 6000

Floats = NDArray[np.float32]


def vectors(count: int, seed: int = 0, dim: int = DIM) -> Floats:
    """Around 50 topics, as texts are."""
    draw = np.random.default_rng(seed)
    topics = np.random.default_rng(99).normal(size=(50, dim))
    noisy = topics[draw.integers(0, 50, count)] + draw.normal(size=(count, dim))
    return unit(noisy.astype(np.float32))


def numbers(start: int, count: int) -> NDArray[np.int64]:
    return np.arange(start, start + count, dtype=np.int64)


def filled(folder: Path, plan: str = "exact", count: int = ROWS) -> VectorIndex:
    index = VectorIndex.open(folder, DIM, "d", PLANS[plan])
    assert index.claim()
    index.add(numbers(1, count), vectors(count))
    index.commit(Cursor(count, 0))
    return index
