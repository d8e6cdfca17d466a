"""What enough voices say, weighed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.chat import Answer, Message, Request
from shoal.routing.agreement import Voices, shares, weigh
from shoal.tasks import LabelContract, NumberContract, TextContract

LABELS = ("no", "perhaps", "yes")
CONTRACT = LabelContract(LABELS)


ASKED = Request("llm", (Message("user", "Is it?"),))


def voices(*said: str | Answer | None) -> Voices:
    answers = tuple(Answer(one) if isinstance(one, str) else one for one in said)
    return Voices(ASKED, "Is it?", answers)


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
    assert (found.chosen.text, found.seen.share) == (chosen, signal)


def test_voices_that_break_the_contract_support_nothing() -> None:
    found = weigh(CONTRACT, voices("I cannot tell", "I cannot tell", "no"))
    assert found.chosen is not None
    assert (found.chosen.text, found.seen.share) == ("no", 0.0)
    assert weigh(CONTRACT, voices("I cannot tell", "I cannot tell")).chosen is None
    assert weigh(CONTRACT, voices(None, Answer("yes", complete=False))).chosen is None


def test_nothing_said_is_no_text_to_agree_on() -> None:
    assert weigh(TextContract(), voices("", "")).chosen is None


def test_zero_is_an_answer() -> None:
    found = weigh(NumberContract(), voices("0", "0.0"))
    assert found.chosen is not None
    assert found.seen.share == 1.0


@given(st.lists(st.sampled_from([*LABELS, "?"]), min_size=2, max_size=3))
def test_the_signal_does_not_depend_on_the_order(said: list[str]) -> None:
    one, other = weigh(CONTRACT, voices(*said)), weigh(CONTRACT, voices(*said[::-1]))
    assert one.seen.share == other.seen.share
    assert (one.chosen is None) == (other.chosen is None)


def test_a_voice_that_a_validator_rejects_does_not_count() -> None:
    class NoNo:
        name = "no no"

        def complaint(self, request: Request, answer: Answer) -> str:
            return "it says no" if "no" in answer.text else ""

    found = weigh(CONTRACT, voices("no", "no", "yes"), [NoNo()])
    assert found.chosen == Answer("yes")
    assert found.seen.support == (None, None, True)
    assert found.seen.share == 0.0
    assert weigh(CONTRACT, voices("no"), [NoNo()]).chosen is None


def test_of_a_single_voice_the_share_is_whether_it_counts() -> None:
    assert weigh(CONTRACT, voices("yes")).seen.share == 1.0
    assert weigh(CONTRACT, voices("I cannot tell")).seen.share == 0.0
    assert shares(1) == (1.0,)
    assert shares(3) == (0.5, 1.0)


def test_who_agrees_is_kept_voice_by_voice() -> None:
    found = weigh(CONTRACT, voices("no", "yes", None, "yes"))
    assert found.seen.support == (False, True, None, True)
    assert found.seen.share == pytest.approx(1 / 3)
