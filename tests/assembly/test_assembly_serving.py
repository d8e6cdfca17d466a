"""Who answers, and what the receipt says of it."""

import json
import time
from pathlib import Path

import pytest
from keyword_desk import (
    NEVER,
    PRICES,
    RATES,
    SYSTEM,
    TASK,
    UNCLEAR,
    Clerk,
    ask,
    certify,
    echo,
    make_certificate,
    open_desk,
    request_of,
    seen,
    serving,
    text_of,
    threshold,
)

from shoal.assembly import Model, Models, Regime, Shoal
from shoal.chat import Answer, Message, Request, Usage
from shoal.engines import RecordedOptions, open_engine
from shoal.errors import NotRecorded, UnknownModel
from shoal.flywheel.promotion import promote
from shoal.routing.caller import ANYBODY
from shoal.routing.prices import Tariff
from shoal.routing.promise import PromiseOptions
from shoal.routing.receipt import OWN, Receipt, Tried
from shoal.storage import Event, Standing, Store
from shoal.storage.standings import set_standing

SMALL = "specialist/department"


async def test_served_small_with_the_whole_receipt(store: Store) -> None:
    serving(store)
    clerk = Clerk()
    async with open_desk(store, clerk) as desk:
        request = request_of(text_of(4))
        handled, answer = await ask(desk, request, "episode 7")
        assert answer == Answer("payments", model=SMALL, usage=Usage())
        view = await seen(desk, handled.receipt.call_id)
    assert clerk.asked == []
    receipt = view.receipt
    assert (receipt.task, receipt.task_id, receipt.llm) == ("department", TASK.id, "gpt")
    assert receipt.answered_by == SMALL
    assert receipt.certificate == "c-1"
    (tried,) = receipt.tried
    assert (tried.answerer, tried.accepted, tried.certificate) == (SMALL, True, "c-1")
    assert tried.threshold == threshold()
    assert tried.signal is not None
    assert tried.signal >= threshold()
    assert f"{tried.signal:.4f}" in receipt.reason
    assert f"{tried.threshold:.4f}" in receipt.reason
    assert 0 < tried.latency_ms <= receipt.latency_ms
    assert receipt.at <= tried.at <= time.time() - tried.latency_ms / 1e3
    assert receipt.provider == OWN
    characters = len(SYSTEM) + len(text_of(4))
    would_have_used = Usage(round(characters * RATES.per_character), round(RATES.output))
    assert receipt.cost == 0
    assert receipt.llm_cost == PRICES.cost(would_have_used)
    assert receipt.llm_cost_estimated
    assert not receipt.sampled
    assert (view.answer, view.episode, view.error) == (answer, "episode 7", "")
    assert view.request.messages == request.messages


async def test_the_receipt_is_stored_in_its_columns_too(store: Store) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        handled, _ = await ask(desk, request_of(text_of(1)))
        view = await seen(desk, handled.receipt.call_id)
        call = store.calls.get(handled.receipt.call_id)
    assert json.loads(call.receipt)["tried"][0]["accepted"] is True
    for name in ("answered_by", "reason", "llm", "sampled", "cost", "llm_cost", "latency_ms"):
        assert getattr(call, name) == getattr(view.receipt, name), name
    assert call.task == view.receipt.task_id


async def receipt_by_llm(store: Store, request: Request) -> Receipt:
    """The receipt of a request that the LLM must answer."""
    clerk, other = Clerk(), Clerk("other")
    async with open_desk(store, clerk, other) as desk:
        handled, _ = await ask(desk, request)
        view = await seen(desk, handled.receipt.call_id)
    assert len(clerk.asked) + len(other.asked) == 1
    assert view.receipt.answered_by == request.model
    assert view.receipt.certificate == ""
    assert view.receipt.cost == view.receipt.llm_cost == PRICES.cost(Usage(60, 2))
    assert not view.receipt.llm_cost_estimated
    return view.receipt


async def test_under_the_threshold_the_llm_answers(store: Store) -> None:
    serving(store)
    receipt = await receipt_by_llm(store, request_of(UNCLEAR))
    assert receipt.reason == "signal under the certified threshold"
    small, llm = receipt.tried
    assert (small.answerer, small.accepted, small.threshold) == (SMALL, False, threshold())
    assert small.signal is not None
    assert small.signal < threshold()
    assert (llm.answerer, llm.accepted, llm.signal) == ("gpt", True, None)


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (request_of(text_of(0), "other"), "certified against gpt, the caller asked for other"),
        (request_of(text_of(0), n=2), "the caller asked for several choices"),
        (request_of(text_of(0), logprobs=True), "the caller asked for log-probabilities"),
        (request_of(text_of(0), top_logprobs=3), "the caller asked for log-probabilities"),
        (request_of(text_of(0), modalities=["text", "audio"]), "asked for more than text"),
        (request_of(text_of(0), n="two"), "a parameter has an unusual form"),
    ],
    ids=["another model", "n", "logprobs", "top_logprobs", "audio", "odd"],
)
async def test_what_a_specialist_cannot_give(store: Store, request_: Request, why: str) -> None:
    serving(store)
    receipt = await receipt_by_llm(store, request_)
    assert receipt.reason.endswith(why)
    assert receipt.tried[0] == Tried(SMALL, False, receipt.reason, certificate="c-1")


async def test_a_usual_parameter_changes_nothing(store: Store) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        handled, _ = await ask(desk, request_of(text_of(0), n=1, temperature=0, logprobs=False))
    assert handled.receipt.answered_by == SMALL


async def test_nothing_is_served_before_it_is_promoted(store: Store) -> None:
    certify(store)
    receipt = await receipt_by_llm(store, request_of(text_of(0)))
    assert receipt.reason == "the task is observed: nothing certified serves it"
    assert receipt.task == "department"
    assert receipt.sampled


async def test_a_shadow_serves_nothing(store: Store) -> None:
    certify(store)
    promote(store, TASK.id, "shadow", "test", "")
    receipt = await receipt_by_llm(store, request_of(text_of(0)))
    assert receipt.reason == "the task's specialist is in shadow"


async def test_a_lapsed_certificate_serves_nothing(store: Store) -> None:
    threshold()  # trains, which may take longer than that certificate lives
    certify(store, make_certificate(lapses_in=1.0))
    promote(store, TASK.id, "serve", "test", "")
    async with open_desk(store, Clerk()) as desk:
        while not (receipt := (await ask(desk, request_of(text_of(0))))[0].receipt).tried[1:]:
            assert receipt.answered_by == SMALL
    assert receipt.reason == "the certificate has lapsed"
    assert receipt.answered_by == "gpt"


async def test_a_call_of_no_known_task(store: Store) -> None:
    serving(store)
    unknown = Request("gpt", (Message("user", text_of(0)),))
    receipt = await receipt_by_llm(store, unknown)
    assert (receipt.reason, receipt.task) == ("no known task", "")
    assert receipt.sampled


async def test_a_streamed_request_may_be_served_small(store: Store) -> None:
    serving(store)
    clerk = Clerk()
    async with open_desk(store, clerk) as desk:
        handled, answer = await ask(desk, request_of(text_of(2), stream=True))
        view = await seen(desk, handled.receipt.call_id)
    assert clerk.asked == []
    assert handled.stream is None  # the gateway writes the stream of a whole answer
    assert (answer.text, view.receipt.certificate) == ("returns", "c-1")
    assert view.request.stream


async def test_a_streamed_request_may_go_to_the_llm(store: Store) -> None:
    serving(store)
    async with open_desk(store, Clerk()) as desk:
        handled, answer = await ask(desk, request_of(UNCLEAR, stream=True))
        view = await seen(desk, handled.receipt.call_id)
    assert handled.answer is None
    assert handled.stream is not None
    assert view.answer == answer
    assert (answer.text, answer.complete) == ("returns", True)
    assert view.receipt.cost == PRICES.cost(Usage(60, 2))


async def test_a_recorded_llm_answers_what_the_specialist_will_not(
    store: Store, tmp_path: Path
) -> None:
    serving(store)
    asked = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": UNCLEAR}]
    message = {"role": "assistant", "content": "delivery"}
    line = {
        "request": {"model": "gpt", "messages": asked},
        "response": {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]},
    }
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps(line))
    gpt = open_engine("gpt", RecordedOptions(engine="recorded", path=path))
    async with open_desk(store, gpt) as desk:
        handled, answer = await ask(desk, request_of(UNCLEAR))
        assert (answer.text, handled.receipt.answered_by) == ("delivery", "gpt")
        handled, answer = await ask(desk, request_of(text_of(0)))
        assert (answer.text, handled.receipt.answered_by) == ("delivery", SMALL)
        with pytest.raises(NotRecorded):
            await desk.serve(request_of("Good day?"), "")


async def test_an_unknown_price_is_not_a_guess(store: Store) -> None:
    serving(store)
    models = Models({"gpt": Model("gpt", echo(), Tariff(model="no such model at all"))})
    async with Shoal(store, Regime(models, {}, PromiseOptions(audit_rate=NEVER))) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        view = await seen(desk, handled.receipt.call_id)
    assert view.receipt.cost == 0
    assert view.receipt.llm_cost is None


async def test_a_model_that_is_not_there(store: Store) -> None:
    async with open_desk(store, Clerk(), Clerk("other")) as desk:
        assert desk.models(ANYBODY) == ["gpt", "other"]
        with pytest.raises(UnknownModel, match=r"'none'.*gpt, other"):
            await desk.serve(request_of("", "none"), "")


async def test_a_standing_without_its_certificate_serves_nothing(store: Store) -> None:
    certify(store)
    lost = Standing(task=TASK.id, stage="serve", card="d-1", certificate="c-9", since=1.0)
    with store.database.transaction() as conn:
        set_standing(conn, lost, Event(at=1.0, task=TASK.id, kind="promoted", by="test"))
    async with open_desk(store, Clerk()) as desk:
        handled, _ = await ask(desk, request_of(text_of(0)))
        assert not desk.health().ok
    assert "c-9" in handled.receipt.reason
    assert handled.receipt.answered_by == "gpt"
