"""The threads in which specialists predict: only local models are waited for together."""

import asyncio
import threading

import pytest
from keyword_desk import TASK, Clerk, ask, open_desk, request_of, serving, text_of
from msgspec.structs import replace

from shoal.assembly import Shoal
from shoal.specialists.specialist import Prediction, Reason
from shoal.storage import Store
from shoal.tasks import Input


class Waiting:
    """Answers once as many are asked at the same time as the barrier wants."""

    kind, recipe = "generated", "lora"

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier = barrier

    def predict(self, given: Input) -> Prediction:
        self._barrier.wait()
        return Prediction("delivery", 1.0)

    def explain(self, given: Input) -> tuple[Reason, ...]:
        return ()

    def save(self, folder: object) -> None:
        raise NotImplementedError


def seat(desk: Shoal, barrier: threading.Barrier, kind: str) -> None:
    """Have the task's specialist be one that waits, of a kind."""
    posts = desk._roster.posts
    assert isinstance(posts, dict)
    rung = posts[TASK.id].rung
    assert rung is not None
    other = replace(rung, card=replace(rung.card, kind=kind), specialist=Waiting(barrier))
    posts[TASK.id] = replace(posts[TASK.id], rung=other)


@pytest.mark.parametrize(
    ("kind", "who"), [("generated", "specialist/department"), ("label", "gpt")]
)
async def test_only_what_waits_for_a_model_waits_together(
    store: Store, kind: str, who: str
) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        seat(desk, threading.Barrier(3, timeout=0.5 if kind == "label" else 20), kind)
        asked = (ask(desk, request_of(text_of(number))) for number in range(3))
        found = await asyncio.gather(*asked)
    assert {handled.receipt.answered_by for handled, _ in found} == {who}
