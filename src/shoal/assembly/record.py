"""From a handled call to what is stored of it, and back to what a person is shown."""

import time
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.assembly.handled import Handled
from shoal.chat import Answer, Request, Usage
from shoal.errors import StoreDamaged
from shoal.routing.receipt import Receipt
from shoal.specialists.card import TokenRates
from shoal.specialists.specialist import Reason
from shoal.storage import Audit, CallRecord, Feedback, Store


class CallView(Struct, frozen=True, omit_defaults=True):
    """A stored call as ``GET /shoal/calls/{id}`` and ``shoal calls show`` give it."""

    id: str
    at: float
    receipt: Receipt
    request: Request
    answer: Answer | None = None
    error: str = ""
    episode: str = ""
    source: str = ""
    key: str = ""
    audit: Audit | None = None
    feedback: Feedback | None = None
    reasons: tuple[Reason, ...] = ()


def call_record(handled: Handled, answer: Answer | None, error: str) -> CallRecord:
    """The row of one call, whose receipt is settled."""
    receipt = handled.receipt
    return CallRecord(
        id=receipt.call_id,
        at=receipt.at,
        episode=handled.episode,
        request=handled.request,
        answer=answer,
        error=error,
        task=receipt.task_id,
        answered_by=receipt.answered_by,
        reason=receipt.reason,
        llm=receipt.llm,
        sampled=receipt.sampled,
        cost=receipt.cost,
        llm_cost=receipt.llm_cost,
        latency_ms=receipt.latency_ms,
        receipt=msgspec.json.encode(receipt),
        key=handled.caller.key,
    )


def view(store: Store, call_id: str) -> CallView:
    """A stored call with its receipt, audit and feedback.

    Raises:
        NotFound: no such call.
    """
    call = store.calls.get(call_id)
    return CallView(
        id=call.id,
        at=call.at,
        receipt=receipt_of(call),
        request=call.request,
        answer=call.answer,
        error=call.error,
        episode=call.episode,
        source=call.source,
        key=call.key,
        audit=store.audits.of_calls([call_id]).get(call_id),
        feedback=store.feedback.newest([call_id]).get(call_id),
    )


def receipt_of(call: CallRecord) -> Receipt:
    """The receipt of a stored call; a bare one if it was imported without.

    Raises:
        StoreDamaged: what is stored is no receipt.
    """
    if call.receipt == b"{}":
        return Receipt(
            call.id,
            call.at,
            call.llm,
            call.answered_by,
            call.reason,
            sampled=call.sampled,
            cost=call.cost,
            llm_cost=call.llm_cost,
            latency_ms=call.latency_ms,
            episode=call.episode,
        )
    try:
        receipt = msgspec.json.decode(call.receipt, type=Receipt)
    except msgspec.DecodeError as error:
        raise StoreDamaged(f"the receipt of call {call.id} cannot be read ({error})") from error
    return receipt if receipt.episode else replace(receipt, episode=call.episode)


def settled(handled: Handled, answer: Answer | None) -> Receipt:
    """The receipt with costs and time, known only once the answer has ended."""
    receipt, model = handled.receipt, handled.model
    elapsed = (time.perf_counter() - handled.began) * 1e3
    waited = round(receipt.waited_ms, 3)
    told = answer.deliberation if answer is not None else None
    receipt = replace(receipt, latency_ms=round(elapsed, 3), waited_ms=waited, deliberation=told)
    if answer is None or model is None:
        return receipt
    if handled.cached is not None:
        return replace(receipt, cost=0.0, llm_cost=model.tariff.cost(answer.usage))
    beside = _sum([one.spent.cost for one in handled.said])
    if handled.answerer is not None:
        cost = _sum([handled.answerer.cost(answer), beside])
        alone = handled.answerer if handled.answerer.name == model.name else model
        return replace(receipt, cost=cost, llm_cost=alone.cost(answer))
    rates = handled.rung.card.rates if handled.rung else None
    would_have_used = estimated_usage(handled.request, rates) if rates else None
    return replace(
        receipt,
        cost=beside,
        llm_cost=model.tariff.cost(would_have_used),
        llm_cost_estimated=True,
    )


def _sum(costs: Sequence[float | None]) -> float | None:
    """None if one of them is unknown."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def estimated_usage(request: Request, rates: TokenRates) -> Usage:
    """The tokens the LLM would have used, from its own counts on the task's earlier calls."""
    characters = sum(len(message.text) for message in request.messages)
    return Usage(
        input_tokens=round(characters * rates.per_character),
        output_tokens=round(rates.output),
        estimated=True,
    )
