"""Only models that are where they must be are asked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from keyword_desk import PRICES, TASK, Clerk, ask, request_of, serving, text_of

from shoal.assembly import Model, Models, Shoal
from shoal.assembly.regime import Regime
from shoal.engines import RemoteOptions
from shoal.errors import NoAnswerer
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store

MAIL = "bob@example.com"


@asynccontextmanager
async def desk_of(
    store: Store, *clerks: tuple[Clerk, str], audit_rate: float = 1e-12, **rules: object
) -> AsyncIterator[Shoal]:
    """The first is the LLM; each has its residency, and none is local."""
    names = tuple(clerk.name for clerk, _ in clerks)
    models = {
        clerk.name: Model(
            clerk.name,
            clerk,
            PRICES,
            names[1:] if clerk.name == names[0] else (),
            local=where == "local",
            residency="" if where == "local" else where,
        )
        for clerk, where in clerks
    }
    options = PrivacyOptions.model_validate(rules)
    promise = PromiseOptions(audit_rate=audit_rate)
    async with Shoal(store, Regime(Models(models), {}, promise, options)) as desk:
        yield desk


@pytest.mark.parametrize("allowed", [["eu"], ["local", "eu"]])
@pytest.mark.parametrize("rules", [{}, {"redact": ["email"]}, {"refuse": ["card"]}])
async def test_the_next_that_is_there_answers(
    store: Store, allowed: list[str], rules: dict[str, object]
) -> None:
    far, unknown, near = Clerk("gpt"), Clerk("who"), Clerk("near")
    placed = ((far, "us"), (unknown, ""), (near, "eu"))
    async with desk_of(store, *placed, residency=allowed, **rules) as desk:
        handled, _ = await ask(desk, request_of(f"{text_of(0)} {MAIL}"))
    assert handled.receipt.answered_by == "near"
    assert (far.asked, unknown.asked) == ([], [])
    assert "has the residency 'us'" in handled.receipt.tried[0].reason
    assert "has no residency" in handled.receipt.tried[1].reason


async def test_a_local_one_counts_as_local(store: Store) -> None:
    far, here = Clerk("gpt"), Clerk("here")
    async with desk_of(store, (far, "us"), (here, "local"), residency=["local"]) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
    assert (handled.receipt.answered_by, far.asked) == ("here", [])


async def test_or_nobody_does(store: Store) -> None:
    far = Clerk("gpt")
    async with desk_of(store, (far, "us"), residency=["eu", "local"]) as desk:
        with pytest.raises(NoAnswerer, match="allows only: eu, local"):
            await desk.serve(request_of(text_of(0)), "")
    assert far.asked == []


async def test_nor_to_audit(store: Store) -> None:
    serving(store)
    far = Clerk("gpt")
    async with desk_of(store, (far, "us"), audit_rate=1.0, residency=["eu"]) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        await desk.settle()
    assert handled.receipt.answered_by == f"specialist/{TASK.name}"
    assert far.asked == []


def test_labels_stand_in_the_options() -> None:
    def labels(**stated: object) -> frozenset[str]:
        given = {"engine": "remote", "base_url": "http://127.0.0.1:9/v1", **stated}
        return Models.open({"x": RemoteOptions.model_validate(given)}).get("x").labels

    assert labels() == frozenset()
    assert labels(residency="eu") == {"eu"}
    assert labels(residency="eu", local=True) == {"eu", "local"}
