"""A cascade over recorded engines: who is asked, what is accepted, and what it cost."""

import asyncio
import json
from pathlib import Path

import pytest

from shoal.chat import Answer, Message, Request, Usage
from shoal.engines import RecordedOptions
from shoal.engines.recorded import RecordedEngine
from shoal.errors import ConfigError, EngineError, EngineTimeout, NotRecorded
from shoal.routing.cascade import Cascade, CascadeRung
from shoal.routing.prices import Tariff
from shoal.routing.scored import FREE, OwnScore, ScoredAnswerer
from shoal.routing.signals import Agreement, Evidence, KeepsContract, Valid
from shoal.specialists.specialist import Prediction
from shoal.tasks import Input, LabelContract

CONTRACT = LabelContract(("refund", "delivery", "other"))
AGREE = Agreement(CONTRACT)
DOLLAR = Tariff(input=1.0, output=1.0)  # a millionth a token
INF = float("inf")


def asking(text: str) -> Request:
    return Request("llm", (Message("user", text),))


def engine(folder: Path, name: str, **answers: str) -> RecordedEngine:
    """A recording of one answer a question, of ten tokens in and one out."""
    lines = [
        {
            "request": {"model": "m", "messages": [{"role": "user", "content": asked}]},
            "response": {
                "choices": [{"message": {"content": said}}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11},
            },
        }
        for asked, said in answers.items()
    ]
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    options = RecordedOptions.model_validate({"engine": "recorded", "path": path})
    return RecordedEngine(name, options)


class Scripted:
    """An answerer that counts its calls, answers or raises, and may wait for others to begin."""

    def __init__(self, name: str, said: str | Exception, barrier: asyncio.Barrier | None = None):
        self.name, self._said, self._barrier, self.calls = name, said, barrier, 0

    async def answer(self, request: Request) -> Answer:
        self.calls += 1
        if self._barrier is not None:
            await self._barrier.wait()
        if isinstance(self._said, Exception):
            raise self._said
        return Answer(text=self._said, usage=Usage(10, 1))


class Fixed:
    """A signal that says the same of everything."""

    name = "fixed"

    def __init__(self, value: float) -> None:
        self._value = value

    def score(self, evidence: Evidence) -> float:
        return self._value


async def test_the_small_one_answers_where_its_witness_agrees(tmp_path: Path) -> None:
    small = engine(tmp_path, "small", q="refund", r="refund", s="other")
    witness = engine(tmp_path, "witness", q="Refund.", r="delivery")
    llm = engine(tmp_path, "llm", q="refund", r="delivery", s="delivery")
    tariffs = {"small": DOLLAR, "witness": DOLLAR, "llm": Tariff(input=100.0, output=100.0)}
    cascade = Cascade("c", [CascadeRung(small, AGREE, 1.0, (witness,), "c-1")], llm, tariffs)

    agreed = await cascade.reach(asking("q"))
    assert (agreed.answered_by, agreed.answer.text) == ("small", "refund")
    assert [(t.answerer, t.accepted) for t in agreed.tried] == [
        ("witness", False),
        ("small", True),
    ]
    assert (agreed.tried[1].signal, agreed.tried[1].threshold) == (1.0, 1.0)
    assert agreed.tried[1].certificate == "c-1"
    assert agreed.cost == pytest.approx(22e-6)

    parted = await cascade.reach(asking("r"))
    assert (parted.answered_by, parted.answer.text) == ("llm", "delivery")
    assert [t.accepted for t in parted.tried] == [False, False, True]
    assert parted.cost == pytest.approx(22e-6 + 1100e-6)

    lost = await cascade.reach(asking("s"))  # which the witness has no answer to
    assert lost.answered_by == "llm"
    assert lost.tried[0].error == "not_recorded"
    assert lost.costs == {"small": 11e-6, "witness": 0.0, "llm": 1100e-6}


async def test_a_rung_and_its_witnesses_are_asked_at_the_same_time() -> None:
    barrier = asyncio.Barrier(3)
    voices = [Scripted(name, "refund", barrier) for name in "abc"]
    rung = CascadeRung(voices[0], AGREE, 1.0, tuple(voices[1:]))
    cascade = Cascade("c", [rung], Scripted("llm", "other"))
    found = await asyncio.wait_for(cascade.reach(asking("q")), 5)  # one by one would never end
    assert found.answered_by == "a"


async def test_nobody_is_asked_twice() -> None:
    small, middle, llm = (Scripted(n, t) for n, t in (("s", "refund"), ("m", "other"), ("l", "x")))
    rungs = [CascadeRung(small, AGREE, 1.0, (middle,)), CascadeRung(middle, Fixed(1.0), 0.5)]
    found = await Cascade("c", rungs, llm).reach(asking("q"))
    assert found.answered_by == "m"
    assert (small.calls, middle.calls, llm.calls) == (1, 1, 0)
    assert [*found.costs] == ["s", "m"]


@pytest.mark.parametrize("signal", [float("nan"), float("-inf")])
async def test_a_signal_that_is_no_number_never_passes(signal: float) -> None:
    rung = CascadeRung(Scripted("s", "refund"), Fixed(signal), float("-inf"))
    found = await Cascade("c", [rung], Scripted("l", "other")).reach(asking("q"))
    assert found.answered_by == "l"


async def test_a_shut_rung_is_not_asked() -> None:
    small = Scripted("s", "refund")
    found = await Cascade("c", [CascadeRung(small, Fixed(INF), INF)], Scripted("l", "other")).reach(
        asking("q")
    )
    assert (found.answered_by, small.calls) == ("l", 0)
    assert found.tried[0].reason == "the rung is shut"


async def test_a_failure_below_is_passed_over_and_may_have_cost() -> None:
    broken = Scripted("s", EngineTimeout("too late"))
    cascade = Cascade(
        "c", [CascadeRung(broken, Fixed(1.0), 0.5)], Scripted("l", "other"), {"l": DOLLAR}
    )
    found = await cascade.reach(asking("q"))
    assert (found.answered_by, found.cost) == ("l", None)
    assert "too late" in found.tried[0].reason
    assert found.costs["l"] == pytest.approx(11e-6)


async def test_a_failure_at_the_top_tells_who_was_tried() -> None:
    rung = CascadeRung(Scripted("s", "refund"), Fixed(0.1), 0.5)
    cascade = Cascade("c", [rung], Scripted("l", NotRecorded("nothing")))
    with pytest.raises(EngineError) as caught:
        await cascade.answer(asking("q"))
    assert [t.answerer for t in caught.value.tried] == ["s", "l"]  # type: ignore[attr-defined]


async def test_a_cascade_is_an_answerer_and_nests() -> None:
    inner = Cascade("inner", [], Scripted("m", "refund"))
    rung = CascadeRung(inner, Valid([KeepsContract(CONTRACT)]), 1.0)
    outer = Cascade("outer", [rung], Scripted("l", "other"))
    assert (await outer.answer(asking("q"))).text == "refund"
    inner = Cascade("inner", [], Scripted("m", "I would rather not say"))
    rung = CascadeRung(inner, Valid([KeepsContract(CONTRACT)]), 1.0)
    assert (
        await Cascade("outer", [rung], Scripted("l", "other")).answer(asking("q"))
    ).text == "other"


class Keyword:
    """A specialist that knows refunds."""

    kind, recipe = "keyword", "none"

    def predict(self, given: Input) -> Prediction:
        return Prediction("refund", 0.9) if "money" in given.text else Prediction(None, 0.0)


async def test_a_specialist_is_a_rung_with_its_own_score() -> None:
    small = ScoredAnswerer(
        "specialist/topic",
        Keyword(),
        CONTRACT,
        lambda r: Input(r.messages[-1].text),  # type: ignore[arg-type]
    )
    rung = CascadeRung(small, OwnScore(small), 0.8)
    cascade = Cascade("c", [rung], Scripted("l", "other"), {"specialist/topic": FREE})
    served = await cascade.reach(asking("my money back"))
    assert (served.answer.text, served.cost, served.tried[0].signal) == ("refund", 0.0, 0.9)
    declined = await cascade.reach(asking("hello"))
    assert (declined.answered_by, declined.tried[0].error) == ("l", "declined")


def test_names_must_tell_answerers_apart() -> None:
    a, b = Scripted("same", "x"), Scripted("same", "y")
    with pytest.raises(ConfigError, match="two different answerers are named 'same'"):
        Cascade("c", [CascadeRung(a, Fixed(1.0), 0.5)], b)
    with pytest.raises(ConfigError, match="a voice counts twice"):
        Cascade("c", [CascadeRung(a, AGREE, 0.5, (a,))], Scripted("l", "x"))
