"""What a run is to do, as it was asked for; kept in its first record, so that it can go on."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import msgspec
from msgspec import Struct

from shoal.errors import MalformedRequest, StoreDamaged
from shoal.planning.plan import Budget, Plan
from shoal.routing.receipt import OWN_MODELS
from shoal.storage.run_records import RunRecord
from shoal.tools.tool import Json

AGENT = f"{OWN_MODELS}agent:"
"""How the names of agents as models begin."""

By = Literal["gateway", "here"]
"""Who runs it: gateways, which go on with it when one was killed, or the process that began it."""


class Order(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ``plan`` with what it is ``given``, or an ``agent`` with a ``goal``. ``budget`` is what the
    caller allows. ``episode`` joins its calls to others, "" for an episode of its own."""

    plan: Plan | None = None
    given: Mapping[str, Json] = MappingProxyType({})
    goal: str = ""
    agent: str = ""
    budget: Budget = Budget()
    by: By = "here"
    episode: str = ""

    @property
    def name(self) -> str:
        """What the run is listed under."""
        return self.plan.name if self.plan else self.agent


_ORDERS = msgspec.json.Decoder(Order)


def written_order(order: Order) -> bytes:
    """The body of a run's first record.

    Raises:
        MalformedRequest: it holds what JSON cannot say.
    """
    try:
        return msgspec.json.encode(order)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MalformedRequest(f"input: expected what JSON can say: {error}", "input") from None


def order_of(first: RunRecord) -> Order:
    """The order of a run.

    Raises:
        StoreDamaged: its first record holds none.
    """
    try:
        return _ORDERS.decode(first.body)
    except msgspec.DecodeError as error:
        raise StoreDamaged(
            f"run {first.run_id}: its first record holds no order: {error}"
        ) from None


def event_of(record: RunRecord) -> dict[str, Any]:
    """A record as callers are told of it."""
    told: dict[str, Any] = {"seq": record.seq, "at": record.at, "kind": record.kind}
    told |= {"step": record.step} if record.step else {}
    told |= {"cost": record.cost} if record.cost else {}
    told |= {"tokens": record.tokens} if record.tokens else {}
    told |= {"state": record.state} if record.state else {}
    told |= {"redacted": True} if record.redacted else {}
    return told | {"body": msgspec.json.decode(record.body), "hash": record.hash}
