"""What a caller asks for in the ``shoal`` field of a request: a strategy, and its limits.

"shoal": {"strategy": "vote", "n": 10, "budget": {"usd": 0.01, "tokens": 20000}}
"""

import msgspec
from msgspec import Struct

from shoal.chat import Request
from shoal.errors import MalformedRequest
from shoal.formats.json_text import explain, members_of
from shoal.formats.strategy_field import ASKED
from shoal.reasoning.effort import Limit
from shoal.reasoning.strategy import Strategy, parse_strategy


class _Budget(Struct, forbid_unknown_fields=True):
    usd: float | None = None
    tokens: int | None = None


class _Field(Struct, forbid_unknown_fields=True):
    strategy: str
    n: int | None = None
    models: list[str] = []
    budget: float | _Budget | None = None
    validators: list[str] = []


_field = msgspec.json.Decoder(_Field)


class AskedStrategy(Struct, frozen=True):
    """A strategy, what it may take, and the names of validators that good answers pass."""

    strategy: Strategy
    limit: Limit
    validators: tuple[str, ...] = ()


def asked_strategy(request: Request) -> AskedStrategy | None:
    """What the request asks for; None if it asks for no strategy.

    Raises:
        MalformedRequest: it is wrong; names the field.
    """
    if ASKED not in request.params:  # nearly always
        return None
    members = members_of(request.params.encode())
    if ASKED not in members:
        return None
    try:
        field = _field.decode(members[ASKED])
    except msgspec.ValidationError as error:
        raise MalformedRequest(*explain(error, "shoal")) from None
    try:
        strategy = parse_strategy(field.strategy, field.n, field.models)
    except ValueError as error:
        raise MalformedRequest(f"shoal.strategy: {error}", "shoal.strategy") from None
    return AskedStrategy(strategy, _limit(field.budget), tuple(field.validators))


def _limit(budget: float | _Budget | None) -> Limit:
    told = budget if isinstance(budget, _Budget) else _Budget(usd=budget)
    if (told.usd is not None and told.usd < 0) or (told.tokens is not None and told.tokens < 1):
        raise MalformedRequest(
            "shoal.budget: expected USD of 0 or more, and tokens of 1 or more", "shoal.budget"
        )
    return Limit(told.usd, told.tokens)
