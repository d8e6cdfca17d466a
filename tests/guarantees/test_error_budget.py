"""The error budget over certifications, and the examples in the package's docstrings."""

import doctest
import importlib
import math
import pkgutil

import pytest

import shoal.guarantees
from shoal.guarantees import clean_examples_needed, delta_at, delta_left


def test_all_attempts_together_stay_within_delta() -> None:
    spent = math.fsum(delta_at(k, 0.05) for k in range(1, 100_000))
    assert 0.0499 < spent < 0.05


def test_the_first_attempt_gets_most() -> None:
    assert delta_at(1, 0.05) > 0.6 * 0.05
    assert delta_at(1, 0.05) > delta_at(2, 0.05) > delta_at(3, 0.05)


def test_what_is_left_after_some() -> None:
    assert delta_left(0, 0.05) == 0.05
    assert delta_left(2, 0.05) == pytest.approx(0.05 - delta_at(1, 0.05) - delta_at(2, 0.05))
    assert delta_left(1000, 0.05) > 0


def test_a_tenth_attempt_costs_what_the_module_says() -> None:
    first, tenth = (clean_examples_needed(0.05, delta_at(k, 0.05)) for k in (1, 10))
    assert tenth / first == pytest.approx(2.3, abs=0.05)


def test_attempts_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1, got 0"):
        delta_at(0, 0.05)
    with pytest.raises(ValueError, match="negative"):
        delta_left(-1, 0.05)


def _modules() -> list[str]:
    return [f"shoal.guarantees.{m.name}" for m in pkgutil.iter_modules(shoal.guarantees.__path__)]


@pytest.mark.parametrize("name", _modules())
def test_the_docstrings_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_package_exports_what_it_lists() -> None:
    assert all(hasattr(shoal.guarantees, name) for name in shoal.guarantees.__all__)
