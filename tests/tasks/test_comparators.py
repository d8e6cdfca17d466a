"""The hook for a task's own comparator."""

import pytest
from msgspec.structs import replace

from shoal.chat import Answer
from shoal.errors import ConfigError
from shoal.tasks import LabelContract, TextContract, comparator_name, same
from shoal.tasks.comparators import key_of, register

LABELS = LabelContract(("apple", "ant", "bee"))


def test_a_contract_that_names_a_comparator_is_compared_by_it() -> None:
    register("first letter", lambda a, b: a.text[:1] == b.text[:1])
    own = replace(LABELS, comparator="first letter")
    apple, ant = Answer(text="apple"), Answer(text="ant")
    assert same(own, apple, ant)
    assert not same(own, apple, Answer(text="bee"))
    assert not same(LABELS, apple, ant)
    assert comparator_name(own) == "first letter"
    assert comparator_name(LABELS) == "equal label"


def test_what_breaks_the_contract_is_not_put_before_it() -> None:
    register("all alike", lambda a, b: True)
    own = replace(LABELS, comparator="all alike")
    assert not same(own, Answer(text="apple"), Answer(text="avocado"))
    assert not same(own, Answer(text="apple"), Answer(text="apple", complete=False))


def test_a_comparator_that_nobody_registered_is_an_error() -> None:
    own = replace(TextContract(), comparator="nobody's")
    with pytest.raises(ConfigError, match='no comparator "nobody\'s"'):
        same(own, Answer(text="a"), Answer(text="b"))


def test_a_comparator_may_tell_what_equal_answers_share() -> None:
    class Keyed:
        def __call__(self, a: Answer, b: Answer) -> bool:
            return self.key(a) == self.key(b)

        def key(self, answer: Answer) -> str:
            return answer.text[:1]

    register("keyed", Keyed())
    register("not keyed", lambda a, b: True)
    key = key_of("keyed")
    assert key is not None
    assert key(Answer(text="apple")) == key(Answer(text="ant")) == "a"
    assert key_of("not keyed") is None
    with pytest.raises(ConfigError, match="nobody"):
        key_of("nobody's")
