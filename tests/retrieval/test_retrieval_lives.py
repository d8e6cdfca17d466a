"""A process that makes, encodes anew or removes a collection is killed: all of it is there as it
was, or as it was to be, or nothing is."""

import os

import pytest
from benchmarks.collection_lives import run

SLOW = int(os.environ.get("SHOAL_KILLS", "90"))


@pytest.mark.parametrize("points", [6, pytest.param(SLOW, marks=pytest.mark.slow)])
def test_a_collection_is_whole_or_not_there(points: int) -> None:
    life = run(points, seed=points)
    assert life.wrong == []
    assert life.points == points
    if points >= 60:  # the kills came before and after
        ends = {"rebuilding: anew", "rebuilding: as it was", "removing: gone", "making: there"}
        assert ends <= set(life.ends)
