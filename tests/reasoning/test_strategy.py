"""Strategies by name."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.reasoning import Step, Strategy, parse_strategy, split_name

counted = st.builds(
    Step,
    st.sampled_from(["vote", "best", "refine", "think", "wait", "map", "fold"]),
    st.integers(1, 10_000),
)
names = st.text("abcdefgh-./:0123456789", min_size=1, max_size=8)
asking = st.builds(
    lambda kind, models: Step(kind, models=tuple(models)),
    st.sampled_from(["panel", "fuse"]),
    st.lists(names, min_size=1, max_size=3),
)
strategies = st.lists(counted | asking | st.just(Step("cot")), min_size=1, max_size=4).map(
    lambda steps: Strategy(tuple(steps))
)


@given(names, strategies)
def test_a_name_says_all_of_it(model: str, strategy: Strategy) -> None:
    assert parse_strategy(str(strategy)) == strategy
    assert split_name(f"{model}+{strategy}") == (model, strategy)


@pytest.mark.parametrize("name", ["gpt-4o", "command-r+", "c++", "+vote:5", "a+b", "a+vote:", "a+"])
def test_other_names_are_models(name: str) -> None:
    assert (split_name(name) is None) == (name != "a+vote:")


def test_a_plus_in_the_models_own_name_is_the_models() -> None:
    assert split_name("command-r++vote:3") == ("command-r+", parse_strategy("vote:3"))


def test_what_is_not_said_is_written_out() -> None:
    assert str(parse_strategy("vote")) == "vote:5"
    assert str(parse_strategy("cot+vote", n=7)) == "cot+vote:7"
    assert str(parse_strategy("panel", models=["phi", "nemo"])) == "panel:phi,nemo"
    assert str(parse_strategy("map")) == "map"


@pytest.mark.parametrize(
    ("text", "n", "models", "said"),
    [
        ("guess", None, (), "there are: cot, vote"),
        ("vote:0", None, (), "from 1 to 10,000"),
        ("vote:x", None, (), "found x"),
        ("vote:5", 7, (), "told twice"),
        ("vote", None, ("phi",), "asks no other"),
        ("cot", 3, (), "takes no number"),
        ("panel", None, (), "names of other models"),
        ("vote+vote+vote+vote+vote", None, (), "at most 4 steps"),
        ("", None, (), "there is no strategy ''"),
    ],
)
def test_what_is_wrong_is_told(
    text: str, n: int | None, models: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        parse_strategy(text, n, models)


def test_samples_multiply() -> None:
    assert parse_strategy("refine:2+vote:5").samples == 15
    assert parse_strategy("cot+vote:5").samples == 5
    assert parse_strategy("panel:a,b").samples == 3


def test_a_name_of_very_many_signs_is_read_at_once() -> None:
    name = "a" + "+" * 1_000_000
    began = time.process_time()
    assert split_name(name) is None
    assert split_name(f"{name}+vote:3") == (name, parse_strategy("vote:3"))
    assert time.process_time() - began < 0.5
