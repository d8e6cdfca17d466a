"""A process that writes a collection is killed: what it acknowledged is there."""

import pytest
from benchmarks.collection_writers import run


@pytest.mark.parametrize("points", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_nothing_is_lost_and_nothing_comes_back(points: int) -> None:
    report = run(points, seed=points)
    assert report.wrong == []
    assert report.points == points
    assert report.steps >= points / 2
