"""Which model a call asks for: by its name, by the ``shoal`` field, or as its task is set up."""

import msgspec
from msgspec.structs import replace

from shoal.assembly.gating import member_for
from shoal.assembly.handled import Handled
from shoal.assembly.model import Model
from shoal.assembly.regime import Regime
from shoal.assembly.roster import Post
from shoal.assembly.strategies import bound
from shoal.chat import Request
from shoal.errors import MalformedRequest
from shoal.formats.json_text import replace_members
from shoal.reasoning import Limit
from shoal.reasoning.asked import AskedStrategy, asked_strategy
from shoal.routing.caller import Caller
from shoal.routing.signals.registry import BUILT_IN, validators_of
from shoal.routing.signals.validators import Validator


def stated(
    request: Request, regime: Regime, post: Post | None, caller: Caller
) -> tuple[Request, Model]:
    """The model that is to answer, with its strategy if there is one, and the request for it.

    Raises:
        UnknownModel: no model of the name.
        NotAllowed: the caller may not ask one of those that it asks.
        MalformedRequest: the strategy is wrong, or told twice.
    """
    model, asked = regime.models.get(request.model), asked_strategy(request)
    if asked is not None:
        if model.strategy is not None:
            raise MalformedRequest(
                f"shoal.strategy: the model {request.model!r} has one already", "shoal.strategy"
            )
        model = regime.models.reasoned(model, asked.strategy)
    elif model.strategy is None and post is not None:
        own = regime.strategy(post.task.name)
        model = model if own is None else regime.models.reasoned(model, own)
    if model.strategy is None:
        caller.require_model(model.name)
        return request, model
    # What the caller adds to a model that it may ask opens no other: only the whole name does.
    names = {model.name} if asked else {request.model, model.name}
    if not names.intersection(caller.spec.models):
        for member in model.members:
            caller.require_model(member.name)
    limit = _narrower(asked.limit if asked else Limit(), caller.max_cost)
    return _named(request, model.name), _bound(model, regime, post, limit, asked)


def for_call(model: Model, handled: Handled) -> Model:
    """A model that is asked beside a call, as the call's task has answers compared and checked; of
    a mixture, the member for that task. The call's own model is that already."""
    if model is handled.model:
        return model
    model = member_for(model, handled.receipt.task)
    if model.strategy is None:
        return model
    return _bound(model, handled.regime, handled.post, None, None)


def refuse_strategy(request: Request) -> None:
    """See that nothing asks for a strategy.

    Raises:
        MalformedRequest: it does.
    """
    if asked_strategy(request) is not None:
        raise MalformedRequest(
            f"shoal.strategy: {request.model} has none; give one to the model that it asks, in "
            "shoal.toml",
            "shoal.strategy",
        )


def _bound(
    model: Model,
    regime: Regime,
    post: Post | None,
    limit: Limit | None,
    asked: AskedStrategy | None,
) -> Model:
    checks = list[Validator](validators_of(_validators(asked)))
    if post is None:
        return bound(model, None, checks, limit)
    judging = regime.judging(post.task.name)
    checks += validators_of(judging.validators)
    return bound(model, judging.applied(post.task.contract), checks, limit)


def _validators(asked: AskedStrategy | None) -> tuple[str, ...]:
    """Those that a caller names: only what needs no code of the owner's."""
    for name in asked.validators if asked else ():
        if name not in BUILT_IN:
            raise MalformedRequest(
                f"shoal.validators: expected some of {', '.join(BUILT_IN)}, found {name[:50]!r}; "
                "others are named in shoal.toml ([tasks.NAME] validators)",
                "shoal.validators",
            )
    return asked.validators if asked else ()


def _narrower(limit: Limit, most: float | None) -> Limit:
    if most is None:
        return limit
    return Limit(most if limit.usd is None else min(limit.usd, most), limit.tokens)


def _named(request: Request, name: str) -> Request:
    """The request under another model's name: what is learned from it is learned of that one."""
    if request.model == name:
        return request
    body = request.body
    if body:
        body = replace_members(body, {"model": msgspec.json.encode(name)})
    return replace(request, model=name, body=body)
