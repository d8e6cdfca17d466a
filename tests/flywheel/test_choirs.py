"""Which of the cheaper models are asked: the cheapest that can be certified."""

import random

import pytest
from msgspec.structs import replace

from shoal.chat import Answer, Deliberation, Message, Request
from shoal.flywheel.choirs import Choir, Heard, cheapest, choices
from shoal.routing.agreement import Voices, shares
from shoal.storage import Example
from shoal.tasks import LabelContract

CONTRACT = LabelContract(("a", "b"))
NAMES = ("ann", "ann+vote:5")


def heard(number: int, right: float, rng: random.Random) -> Heard:
    """A small model is right with this chance on easy calls, and no better than chance on others;
    nothing but the agreement of its samples tells which are which."""
    reference = rng.choice("ab")
    other = "ab".replace(reference, "")
    chance = right if rng.random() < 0.6 else 0.5
    samples = [reference if rng.random() < chance else other for _ in range(5)]
    voted = max("ab", key=samples.count)
    share = samples.count(voted) / 5
    request = Request("gpt", (Message("user", f"call {rng.random()}"),))
    vote = Answer(voted, deliberation=Deliberation("vote:5", 5, (), share))
    voices = Voices(request, request.messages[0].text, (Answer(samples[0]), vote))
    example = Example(
        call_id=f"c-{number}",
        at=float(number),
        request=request,
        reference=Answer(reference),
        by="llm",
        sampled=True,
        llm_answer=Answer(reference),
    )
    return Heard(example, voices, Answer(reference))


def examples(right: float) -> list[Heard]:
    rng = random.Random(7)
    return [heard(number, right, rng) for number in range(400)]


def test_without_strategies_all_are_asked_together() -> None:
    assert choices(("ann", "bob")) == (("ann", "bob"),)


def test_with_one_each_is_tried_alone_too() -> None:
    assert choices(NAMES) == (("ann",), ("ann+vote:5",), NAMES)
    assert choices(("ann+vote:5",)) == (("ann+vote:5",),)


def test_what_its_samples_say_is_certified_where_the_model_alone_is_not() -> None:
    found = cheapest(NAMES, CONTRACT, examples(0.99), (), 0.1, 0.05, None)
    assert found.choir is not None
    assert found.proven is not None
    assert found.choir.models != ("ann",)
    assert found.proven.selection.threshold > 0.7
    assert found.proven.selection.coverage > 0.4
    refused = {name for name, _ in found.refusals}
    assert "share of the voices that agree of ann" in refused
    accepted = found.proven.scores >= found.proven.selection.threshold
    wrong = [bad for bad, kept in zip(found.choir.wrong, accepted, strict=False) if kept]
    assert sum(wrong) / len(wrong) <= 0.1


def test_the_cheaper_is_kept_where_it_does() -> None:
    rows = [
        Heard(each.example, each.voices, each.voices.answers[0] or Answer())
        for each in examples(0.9)
    ]
    found = cheapest(NAMES, CONTRACT, rows, (), 0.1, 0.05, None)
    assert found.choir is not None
    assert found.choir.models == ("ann",)
    assert found.choir.right == 1.0


def test_a_specialists_voice_stays_in_every_choir() -> None:
    rows = [
        Heard(
            each.example,
            Voices(each.voices.request, each.voices.text, (Answer("a"), *each.voices.answers), 0.3),
            each.reference,
        )
        for each in examples(0.99)[:150]
    ]
    found = cheapest(("ann+vote:5", "bob"), CONTRACT, rows, (), 0.1, 0.05, None)
    kept = found.choir
    assert kept is None or isinstance(kept, Choir)
    assert {step.recipe.split(" of ")[-1] for step in found.ladder} == {
        "ann+vote:5",
        "bob",
        "ann+vote:5, bob",
    }


def test_thresholds_of_votes_are_tenths() -> None:
    assert shares(1) == (1.0,)
    assert shares(1, votes=True) == pytest.approx((0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0))
    assert shares(3, votes=True)[-1] == 1.0


def test_steps_of_one_conversation_are_one_piece_of_evidence() -> None:
    rows = [replace(each, reference=Answer("a"), voices=_all_say_a(each)) for each in examples(1)]
    assert cheapest(("ann", "bob"), CONTRACT, rows, (), 0.1, 0.05, None).proven is not None
    steps = [replace(each, together=f"talk {at // 20}") for at, each in enumerate(rows)]
    found = cheapest(("ann", "bob"), CONTRACT, steps, (), 0.1, 0.05, None)
    assert found.proven is None, "twenty conversations are too few"


def _all_say_a(each: Heard) -> Voices:
    return replace(each.voices, answers=(Answer("a"), Answer("a")))
