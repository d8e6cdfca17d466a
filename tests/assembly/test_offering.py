"""What Shoal offers as tools, and what calling them does."""

from pathlib import Path

import pytest
from keyword_desk import (
    TASK,
    UNCLEAR,
    Clerk,
    certify,
    models,
    open_desk,
    request_of,
    seen,
    serving,
    text_of,
)

from shoal.assembly import Regime, Shoal
from shoal.assembly.library import Library
from shoal.assembly.offering import Offering
from shoal.errors import EngineUnreachable, MalformedRequest
from shoal.formats.json_schema import breach, is_valid
from shoal.retrieval.collection import Collection
from shoal.routing.caller import ANYBODY, Caller, KeySpec
from shoal.routing.offer import Offer, Outcome
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store
from shoal.tools.tool import ToolSpec
from tiny_encoder import TinyEncoder

TASK_TOOL = "task__department"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    root = tmp_path / "collections"
    york = Collection.create(root / "york", TinyEncoder())
    york.intake.add("rivers.md", b"# Rivers\n\nThe Foss is 31.5 kilometres long.\n")
    york.close()
    Collection.create(root / "empty", TinyEncoder()).close()
    return Library(root, TinyEncoder)


async def offers(offering: Offering, caller: Caller = ANYBODY) -> dict[str, Offer]:
    return {offer.spec.name: offer for offer in await offering.offers(caller)}


def key(**spec: object) -> Caller:
    return Caller(key="k-1", name="app", spec=KeySpec(**spec))  # type: ignore[arg-type]


async def test_a_task_is_offered_with_its_slots_and_its_promise(
    store: Store, library: Library
) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        spec = (await offers(Offering(desk, store, library)))[TASK_TOOL].spec
    assert not breach(spec.takes, {"message": "text"})
    assert breach(spec.takes, {})
    assert breach(spec.takes, {"message": "text", "other": "text"})
    assert "at most 5 % differ from gpt, with 95 % confidence" in spec.description
    assert (spec.effects, spec.may_repeat) == ("reads", True)


async def test_a_call_is_answered_small_and_recorded(store: Store, library: Library) -> None:
    serving(store)
    clerk = Clerk()
    async with open_desk(store, clerk) as desk:
        offer = (await offers(Offering(desk, store, library)))[TASK_TOOL]
        outcome = await offer.call({"message": text_of(4)}, ANYBODY)
        view = await seen(desk, outcome.call_id)
    assert clerk.asked == []
    assert outcome.value["answer"] == "payments"
    assert outcome.value["answered_by"] == "specialist/department"
    assert "at most 5 % differ from gpt" in str(outcome.value["promise"])
    assert outcome.text.startswith("payments\n\nBy specialist/department: of the answers")
    assert is_valid(offer.spec.gives, outcome.value)
    assert view.receipt.task_id == TASK.id
    assert view.request.messages == request_of(text_of(4)).messages


async def test_where_the_specialist_is_not_sure_the_llm_answers_and_nothing_is_promised(
    store: Store, library: Library
) -> None:
    serving(store)
    async with open_desk(store, clerk := Clerk()) as desk:
        offer = (await offers(Offering(desk, store, library)))[TASK_TOOL]
        outcome = await offer.call({"message": UNCLEAR}, ANYBODY)
    assert len(clerk.asked) == 1
    assert (outcome.value["answered_by"], outcome.value["promise"]) == ("gpt", "")
    assert outcome.text == "returns\n\nBy gpt."


async def test_a_call_that_nobody_could_answer_is_recorded_too(
    store: Store, library: Library
) -> None:
    serving(store)
    clerk = Clerk()
    clerk.error = EngineUnreachable("nobody listens")
    async with open_desk(store, clerk) as desk:
        offer = (await offers(Offering(desk, store, library)))[TASK_TOOL]
        outcome = await offer.call({"message": UNCLEAR}, ANYBODY)
        view = await seen(desk, outcome.call_id)
    assert "nobody listens" in outcome.error
    assert "nobody listens" in view.error


async def test_what_is_not_certified_is_not_offered(store: Store, library: Library) -> None:
    certify(store)
    async with open_desk(store, Clerk()) as desk:
        assert TASK_TOOL not in await offers(Offering(desk, store, library))


async def test_grants_of_a_key(store: Store, library: Library) -> None:
    serving(store)
    regime = Regime(models(Clerk(), Clerk("other")), {}, PromiseOptions())
    async with Shoal(store, regime, library=library) as desk:
        offering = Offering(desk, store, library)
        everything = {TASK_TOOL, "search__york", "search__empty", "ask__york", "ask__empty"}
        assert set(await offers(offering)) == everything
        assert set(await offers(offering, key(collections=("york",)))) == {
            TASK_TOOL,
            "search__york",
            "ask__york",
        }
        assert set(await offers(offering, key(tasks=("other",)))) == {
            "search__york",
            "search__empty",
        }
        assert set(await offers(offering, key(models=("other",)))) == {
            "search__york",
            "search__empty",
        }


async def test_collections_are_searched_and_asked(store: Store, library: Library) -> None:
    regime = Regime(models(Clerk()), {}, PromiseOptions())
    async with Shoal(store, regime, library=library) as desk:
        there = await offers(Offering(desk, store, library))
        search, ask = there["search__york"], there["ask__york"]
        found = await search.call({"query": "how long is the Foss", "k": 1}, ANYBODY)
        assert is_valid(search.spec.gives, found.value)
        assert "31.5 kilometres" in found.text
        assert "rivers.md" in found.text
        with pytest.raises(MalformedRequest, match="filter"):
            await search.call({"query": "Foss", "where": "year >>> 3"}, ANYBODY)
        told = await ask.call({"question": "How long is the Foss?"}, ANYBODY)
        view = await seen(desk, told.call_id)
    assert is_valid(ask.spec.gives, told.value)
    assert view.receipt.answered_by == "shoal/ask:york"


async def test_others_may_add_offers(store: Store, library: Library) -> None:
    async def run(arguments: object, caller: Caller) -> Outcome:
        return Outcome({"done": True}, "done")

    plan = Offer(ToolSpec(name="plan__triage", description="A plan."), run)
    async with open_desk(store, Clerk()) as desk:
        more = Offering(desk, store, library, lambda caller: [plan])
        assert (await offers(more))["plan__triage"] is plan
