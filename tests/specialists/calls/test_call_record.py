"""What calls of a tool were worth so far."""

from shoal.specialists.calls.confidence import Record
from shoal.specialists.calls.rates import Rates


def record() -> Record:
    found = Record()
    for number in range(40):
        fold = number % 4
        found.add("look_up", "user", right=True, fold=fold)
        found.add("look_up", "look_up", right=number % 2 == 0, fold=fold)
        found.add("book", "user", right=False, fold=fold)
    return found


def test_a_tool_that_was_always_right_is_surer_than_one_that_never_was() -> None:
    found = record()
    assert found.log_odds("look_up", "user") > 2
    assert -1 < found.log_odds("look_up", "look_up") < 1
    assert found.log_odds("book", "user") < -2


def test_what_nobody_saw_is_as_what_is_more_general() -> None:
    found = record()
    assert found.log_odds("look_up", "elsewhere") > found.log_odds("unheard of", "user")
    assert found.log_odds("unheard of", "user") < found.log_odds("look_up", "user")


def test_a_fold_has_no_say_in_its_own_rates() -> None:
    one, other = record(), record()
    for _ in range(30):
        other.add("book", "user", right=True, fold=1)
    assert other.log_odds("book", "user") > one.log_odds("book", "user")
    assert other.log_odds("book", "user", without=1) == one.log_odds("book", "user", without=1)


def test_it_comes_back_from_a_file() -> None:
    found = record()
    found.settle()
    again = Record(Rates(found.counts()))
    assert again.log_odds("look_up", "user") == found.log_odds("look_up", "user")
