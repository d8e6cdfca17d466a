"""What enough voices say, weighed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.chat import Answer
from shoal.routing.agreement import weigh
from shoal.tasks import LabelContract, NumberContract, TextContract

LABELS = ("no", "perhaps", "yes")
CONTRACT = LabelContract(LABELS)


def voices(*texts: str) -> list[Answer]:
    return [Answer(text) for text in texts]


@pytest.mark.parametrize(
    ("said", "chosen", "signal"),
    [
        (("yes", "yes"), "yes", 1.0),
        (("yes", "no"), "yes", 0.0),
        (("yes", "no", "no"), "no", 0.5),
        (("yes", "Yes.", '"yes"'), "yes", 1.0),
        (("yes", "no", "perhaps"), "yes", 0.0),
    ],
)
def test_the_most_common_answer_is_chosen(
    said: tuple[str, ...], chosen: str, signal: float
) -> None:
    found = weigh(CONTRACT, voices(*said))
    assert found.chosen is not None
    assert (found.chosen.text, found.signal) == (chosen, signal)


def test_voices_that_break_the_contract_support_nothing() -> None:
    found = weigh(CONTRACT, voices("I cannot tell", "I cannot tell", "no"))
    assert found.chosen is not None
    assert (found.chosen.text, found.signal) == ("no", 0.0)
    assert weigh(CONTRACT, voices("I cannot tell", "I cannot tell")).chosen is None
    assert weigh(CONTRACT, [None, Answer("yes", complete=False)]).chosen is None


def test_nothing_said_is_no_text_to_agree_on() -> None:
    assert weigh(TextContract(), voices("", "")).chosen is None


def test_zero_is_an_answer() -> None:
    found = weigh(NumberContract(), voices("0", "0.0"))
    assert found.chosen is not None
    assert found.signal == 1.0


@given(st.lists(st.sampled_from([*LABELS, "?"]), min_size=2, max_size=3))
def test_the_signal_does_not_depend_on_the_order(said: list[str]) -> None:
    one, other = weigh(CONTRACT, voices(*said)), weigh(CONTRACT, voices(*said[::-1]))
    assert one.signal == other.signal
    assert (one.chosen is None) == (other.chosen is None)
