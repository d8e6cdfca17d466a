"""The hook for a task's own comparator."""

import pytest

from shoal.chat import Answer
from shoal.errors import ConfigError
from shoal.tasks import LabelContract, NumberContract
from shoal.tasks.comparators import Comparators, of_contract


def test_a_task_has_its_own_and_others_their_contracts() -> None:
    known = Comparators()
    known.register("first letter", lambda a, b: a.text[:1] == b.text[:1])
    known.assign("topic", "first letter")
    contract = LabelContract(("apple", "ant"))
    apple, ant = Answer(text="apple"), Answer(text="ant")
    assert known.of("topic", contract)(apple, ant)
    assert known.of("topic", contract).name == "first letter"
    assert not known.of("another", contract)(apple, ant)
    assert known.of("another", contract).name == "equal label"


def test_contracts_decide_by_themselves() -> None:
    assert of_contract(NumberContract())(Answer(text="1,000"), Answer(text="1000.0"))


def test_names_are_taken_once_and_known_when_used() -> None:
    known = Comparators()
    known.register("x", lambda a, b: True)
    with pytest.raises(ConfigError, match="already"):
        known.register("x", lambda a, b: False)
    with pytest.raises(ConfigError, match="no comparator 'y' is registered; there are: x"):
        known.assign("topic", "y")
