"""The loop: resuming changes nothing, the best epoch is what remains."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pulled
import pytest
from pulled import OPTIONS, Pulled

from shoal.training.loop import fit


@pytest.mark.parametrize(
    "dies_at", [8, *(pytest.param(at, marks=pytest.mark.slow) for at in (3, 18))]
)
def test_killed_and_resumed_it_ends_as_if_never_stopped(folder: Path, dies_at: int) -> None:
    whole, resumed = Pulled(), Pulled()
    history = fit(whole, OPTIONS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    script = [sys.executable, pulled.__file__, str(folder), str(dies_at)]
    assert subprocess.run(script, env=environment).returncode == -signal.SIGKILL
    again = fit(resumed, OPTIONS, folder)
    np.testing.assert_array_equal(resumed.direction.detach(), whole.direction.detach())
    assert again.scores == history.scores
    assert resumed.steps == 20 - 5 * ((dies_at - 1) // 5)  # the epochs that were done are kept


def test_a_finished_training_is_not_repeated(folder: Path) -> None:
    first, second = Pulled(), Pulled()
    fit(first, OPTIONS, folder)
    fit(second, OPTIONS, folder)
    assert second.steps == 0
    np.testing.assert_array_equal(second.direction.detach(), first.direction.detach())


def test_the_state_of_another_training_is_not_taken_up(folder: Path) -> None:
    fit(Pulled(), OPTIONS, folder)
    other = Pulled()
    other.identity = "other data"
    fit(other, OPTIONS, folder)
    assert other.steps == 20


@pytest.mark.parametrize("name", ["state.json", "state-4.safetensors"])
def test_a_damaged_state_is_not_taken_up(folder: Path, name: str) -> None:
    fit(Pulled(), OPTIONS, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:20])
    again = Pulled()
    fit(again, OPTIONS, folder)
    assert again.steps == 20


def test_only_the_last_state_is_kept(folder: Path) -> None:
    fit(Pulled(), OPTIONS, folder)
    assert {path.name for path in folder.iterdir()} == {"state.json", "state-4.safetensors"}


def test_the_best_epoch_is_what_remains() -> None:
    ended, stopped = Pulled([0.1, 0.9, 0.5, 0.6]), Pulled([0.1, 0.9, 0.5])
    assert fit(ended, OPTIONS).best == 2
    fit(stopped, msgspec.structs.replace(OPTIONS, patience=0))
    assert stopped.steps == 15
    np.testing.assert_array_equal(stopped.direction.detach(), ended.direction.detach())
    last = Pulled([0.1, 0.2, 0.3, 0.4])
    fit(last, OPTIONS)
    assert (last.direction != ended.direction).any()


def test_it_stops_when_it_gets_no_better() -> None:
    learner = Pulled([0.5, 0.4, 0.3, 0.9])
    history = fit(learner, msgspec.structs.replace(OPTIONS, patience=1))
    assert history.scores == [0.5, 0.4, 0.3]
    assert learner.steps == 15


def test_it_learns() -> None:
    learner = Pulled()
    history = fit(learner, msgspec.structs.replace(OPTIONS, epochs=20))
    assert history.scores[-1] > history.scores[0]
    np.testing.assert_allclose(learner.direction.detach(), learner.points.mean(0), atol=0.2)
