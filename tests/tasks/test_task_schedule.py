"""When discovery looks again."""

import pytest

from shoal.tasks.discovery import sample_sizes
from shoal.tasks.schedule import AT_MOST, Schedule


def test_nothing_new_is_not_looked_at() -> None:
    schedule = Schedule(20)
    assert schedule.next(0, 0) == "not"
    schedule.arrived(19)
    assert schedule.next(19, 19) == "not"
    schedule.arrived(1)
    assert schedule.next(20, 20) == "unknown"
    assert schedule.next(20, 20) == "not"


def test_many_that_wait_are_looked_at_when_a_tenth_is_new() -> None:
    schedule = Schedule(20)
    schedule.arrived(99)
    assert schedule.next(1_000, 0) == "not"
    schedule.arrived(1)
    assert schedule.next(1_000, 0) == "unknown"


def test_tasks_are_drawn_anew_when_they_have_grown_threefold() -> None:
    schedule = Schedule(20)
    volumes = [99, 100, 150, 299, 300, 899, 900]
    drawn = [volume for volume in volumes if schedule.next(0, volume) == "all"]
    assert drawn == [100, 300, 900]


def test_a_long_stream_is_drawn_anew_at_a_steady_pace() -> None:
    schedule = Schedule(20)
    looks = sum(schedule.next(0, volume) == "all" for volume in range(0, 10 * AT_MOST, 500))
    assert looks == pytest.approx(10 + 5, abs=2)


def test_small_tasks_are_sampled_whole_and_large_ones_alike() -> None:
    sizes = sample_sizes({"small": 10, "large": 5_000, "larger": 90_000}, 1_000)
    assert sizes == {"small": 10, "large": 495, "larger": 495}
    assert sample_sizes({}, 10) == {}
