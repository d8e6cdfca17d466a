"""Models with a strategy: ``granite+vote:5`` is granite, asked in that way.

Such a model is asked like any other, so that privacy, prices, budgets and receipts hold for it; and
each call of a model that it makes is metered by itself (``reasoning.effort``).
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec.structs import replace

from shoal.assembly.model import Model
from shoal.chat import Answer, Answerer, Request, Usage
from shoal.engines import WrittenStream
from shoal.errors import EffortExceeded, EngineError, MalformedRequest, ShoalError, UnknownModel
from shoal.formats.strategy_field import ASKED
from shoal.reasoning import Checker, Effort, Limit, Metered, Strategy, Terms, reasoner
from shoal.reasoning.asking import choices_of, with_params
from shoal.reasoning.build import most_usage
from shoal.reasoning.options import ReasoningOptions
from shoal.reasoning.sampling import samples_of
from shoal.routing.counting import counted_usage
from shoal.routing.estimate import expected_usage
from shoal.specialists.card import TokenRates
from shoal.tasks import Contract

_ASSUMED_OUTPUT = 4_096  # tokens of an answer where nothing limits it


class ReasonedEngine:
    """Asks ``members`` as the ``strategy`` says; each request by itself, and within the limit."""

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        members: Sequence[Model],
        terms: Terms,
        limit: Limit,
    ) -> None:
        self._name, self._strategy, self._members = name, strategy, tuple(members)
        self._terms, self.limit = terms, limit

    @property
    def name(self) -> str:
        """The model's, with the strategy behind it."""
        return self._name

    def bound(
        self, contract: Contract | None, checkers: Sequence[Checker], limit: Limit | None
    ) -> "ReasonedEngine":
        """The same for calls of one task, or of one caller; ``limit`` None: as it is."""
        terms = replace(self._terms, contract=contract, checkers=tuple(checkers))
        kept = self.limit if limit is None else limit
        return ReasonedEngine(self._name, self._strategy, self._members, terms, kept)

    def asking(self, members: Sequence[Model]) -> "ReasonedEngine":
        """The same with others in its members' places."""
        return ReasonedEngine(self._name, self._strategy, members, self._terms, self.limit)

    async def answer(self, request: Request) -> Answer:
        """The answer, with how it was come to and the tokens of all that was asked.

        Raises:
            MalformedRequest: the strategy lacks what it needs, or several answers are wanted.
            EffortExceeded: its limit pays for no answer.
            EngineError: nobody could answer.
        """
        if choices_of(request) > 1:
            raise MalformedRequest(
                f"n: {self._name} gives one answer; leave n out, or say how many samples are "
                "compared with shoal.n",
                "n",
            )
        effort = Effort(self.limit, self._terms.at_once)
        asked = {model.name: _metered(model, effort) for model in self._members}
        first = asked[self._members[0].name]
        answerer = reasoner(self._strategy, first, asked, self._terms)
        plain = replace(with_params(request, {}, without=ASKED), stream=False)
        try:
            answer = await answerer.answer(plain)
        except ShoalError as error:
            # Of one that surely cost nothing the cost is known.
            if any(one.usage or one.cost is None for one in samples_of(error, self._name)):
                raise _dear(error) from None
            raise
        assert answer.deliberation is not None
        told = replace(answer.deliberation, strategy=str(self._strategy))
        return replace(answer, deliberation=told)

    async def stream(self, request: Request) -> WrittenStream:
        """The same as a stream, once the answer is there.

        Raises: what ``answer`` raises.
        """
        return WrittenStream(await self.answer(request))

    async def aclose(self) -> None:
        """Nothing to let go of: the engines are the models'."""


class Known(Protocol):
    """Models by name."""

    def get(self, name: str) -> Model | None:
        """The model of exactly this name."""


def reasoned(base: Model, strategy: Strategy, models: Known, options: ReasoningOptions) -> Model:
    """``base`` with a strategy.

    Raises:
        UnknownModel: the strategy asks models that there are not.
        MalformedRequest: it takes more samples than may be taken.
    """
    if strategy.samples > options.max_samples:
        raise MalformedRequest(
            f"{strategy}: asks for {strategy.samples} samples, at most {options.max_samples} may "
            "be taken (reasoning.max_samples in shoal.toml)",
            "shoal.n",
        )
    members = [base]
    for name in strategy.models:
        found = models.get(name)
        if found is None:
            raise UnknownModel(f"{strategy}: no model named {name!r} in shoal.toml", "model")
        members += [] if found in members else [found]
    windows = [one.context for one in members if one.context is not None]
    window = min(windows, default=None)
    terms = Terms(risk=options.risk, worth=options.worth, at_once=options.at_once, window=window)
    name = f"{base.name}+{strategy}"
    return Model(
        name,
        ReasonedEngine(name, strategy, members, terms, Limit()),
        base.tariff,
        base.fallback,
        all(one.local for one in members),
        None if strategy.chains else window,
        base.residency,
        strategy=strategy,
        members=tuple(members),
    )


def bound(
    model: Model,
    contract: Contract | None,
    checkers: Sequence[Checker] = (),
    limit: Limit | None = None,
) -> Model:
    """A model for calls of a task with that contract, and within the limit of a caller; one without
    a strategy is what it is."""
    if not isinstance(model.engine, ReasonedEngine):
        return model
    return replace(model, engine=model.engine.bound(contract, checkers, limit))


def upper(
    model: Model, request: Request, assumed_output: int, rates: TokenRates | None
) -> float | None:
    """USD that a model may cost at most for a request; None if a price is unknown."""
    most = most_cost(model, expected_usage(request, assumed_output, rates))
    limit = model.engine.limit.usd if isinstance(model.engine, ReasonedEngine) else None
    return most if most is None or limit is None else min(most, limit)


def most_cost(model: Model, one: Usage) -> float | None:
    """USD of an answer of a model, one call of which takes at most these tokens; None if a price is
    unknown."""
    if model.strategy is None:
        return model.tariff.cost(one)
    tariffs = {"": model.tariff, **{each.name: each.tariff for each in model.members}}
    window = min((each.context for each in model.members if each.context), default=None)
    most = most_usage(model.strategy, one, window)
    costs = [tariffs[name].cost(usage) for name, usage in most]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _metered(model: Model, effort: Effort) -> Answerer:
    return Metered(
        model.engine,
        effort,
        lambda request: expected_usage(request, _ASSUMED_OUTPUT),
        model.tariff.cost,
        _counter(model),
    )


def _counter(model: Model) -> Callable[[Request, Answer], Usage | None]:
    return lambda request, answer: counted_usage(request, answer, model.tokenizer)


def _dear(error: ShoalError) -> ShoalError:
    """The failure as one that has cost something, so that what was set aside counts as spent."""
    known = isinstance(error, EngineError | EffortExceeded)
    dear = error if known else EngineError(str(error))
    assert isinstance(dear, EngineError | EffortExceeded)
    dear.may_cost = True
    return dear
