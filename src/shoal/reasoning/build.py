"""Puts the answerer together that a strategy describes."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from shoal.chat import Answerer, Usage
from shoal.errors import MalformedRequest
from shoal.reasoning.best_of import BestOf
from shoal.reasoning.chain_of_thought import ChainOfThought
from shoal.reasoning.chaining import MOST_PARTS, Folded, Mapped, most_chained
from shoal.reasoning.checking import Checker, Scorer
from shoal.reasoning.consistency import SelfConsistency, Voting
from shoal.reasoning.ensemble import Fused, Panel
from shoal.reasoning.forcing import THOUGHTS, BudgetForcing
from shoal.reasoning.refine import Refined
from shoal.reasoning.strategy import Step, Strategy
from shoal.tasks import Contract

_GROWTH = 1_024  # tokens of words and thoughts that a turn adds to the next one's input


class Terms(Struct, frozen=True):
    """How a strategy works on one request: what the task's answers look like, what tells good ones
    from others, and within which limits. ``window`` is the model's context in tokens, None if that
    is unknown."""

    contract: Contract | None = None
    checkers: tuple[Checker, ...] = ()
    scorer: Scorer | None = None
    risk: float = 0.05
    worth: float = 0.0
    at_once: int = 4
    window: int | None = None


def reasoner(
    strategy: Strategy, first: Answerer, others: Mapping[str, Answerer], terms: Terms
) -> Answerer:
    """The answerer that asks ``first``, and ``others`` by name, as the strategy says.

    Raises:
        MalformedRequest: a step needs a checker, or a window, that there is not.
    """
    found = first
    parts = max(1, MOST_PARTS // strategy.samples)
    for step in strategy.steps:
        found = _around(step, found, [others[name] for name in step.models], terms, parts)
    return found


def _around(
    step: Step, inner: Answerer, others: Sequence[Answerer], terms: Terms, parts: int
) -> Answerer:
    voting = Voting(terms.contract, terms.checkers, terms.risk)
    match step.kind:
        case "cot":
            return ChainOfThought(inner)
        case "vote":
            return SelfConsistency(inner, step.count, voting, terms.at_once)
        case "best":
            _need_checkers(step, bool(terms.checkers or terms.scorer))
            return BestOf(
                inner, step.count, terms.checkers, terms.scorer, terms.at_once, terms.worth
            )
        case "refine":
            _need_checkers(step, bool(terms.checkers))
            return Refined(inner, step.count, terms.checkers)
        case "think":
            return BudgetForcing(inner, step.count)
        case "wait":
            return BudgetForcing(inner, waits=step.count)
        case "panel":
            return Panel((inner, *others), voting, terms.at_once)
        case "fuse":
            return Fused(inner, others, voting)
        case "map":
            return Mapped(inner, _window(step, terms), parts)
        case "fold":
            return Folded(inner, _window(step, terms), parts)


def _need_checkers(step: Step, there: bool) -> None:
    if not there:
        raise MalformedRequest(
            f"the strategy {step.kind} needs something that finds what is wrong with an answer: "
            "name validators in the request (shoal.validators), or in shoal.toml "
            "([tasks.NAME] validators)",
            "shoal.strategy",
        )


def _window(step: Step, terms: Terms) -> int:
    if step.count:
        return step.count
    if terms.window is None:
        raise MalformedRequest(
            f"the strategy {step.kind} needs to know how much the model can read: set "
            f"context_tokens of the model in shoal.toml, or say {step.kind}:TOKENS",
            "shoal.strategy",
        )
    return terms.window


def most_usage(
    strategy: Strategy, one: Usage, window: int | None = None
) -> tuple[tuple[str, Usage], ...]:
    """The most tokens that a strategy may take, by the models that it asks ("": the first), where
    one call takes at most ``one`` and the model reads ``window`` tokens (None: nobody knows).
    Reckoned: each turn after the first reads what was said before.
    """
    total: dict[str, Usage] = {"": one}
    asked = 1  # calls of a model for each use of what stands before
    for step in strategy.steps:
        if step.kind in ("map", "fold"):
            total = {
                name: most_chained(usage, step.count or window) for name, usage in total.items()
            }
            continue
        times, turns, thought = _calls(step)
        longer = asked * (turns - 1) * (max(one.output_tokens, thought) + _GROWTH)
        thoughts = asked * (turns - 1) * thought  # whatever the caller lets the answer have
        grow = _scaled(times * turns, longer, thoughts)
        total = {name: grow(usage) for name, usage in total.items()}
        asked *= times * turns
        for name in step.models:
            total[name] = _plus(total.get(name), one)
        if step.kind == "fuse":
            read = len(step.models) * (one.output_tokens + _GROWTH)
            total[""] = _scaled(1, read)(total[""])
    return tuple(total.items())


def _calls(step: Step) -> tuple[int, int, int]:
    """How many times what stands before is asked anew, how many turns each time, and the tokens
    of thoughts in each turn but the last; 0: those of an answer."""
    match step.kind:
        case "vote" | "best":
            return step.count, 1, 0
        case "refine":
            return 1, 1 + step.count, 0
        case "cot":
            return 1, 2, THOUGHTS
        case "think":
            return 1, 2, step.count
        case "wait":
            return 1, 2 + step.count, THOUGHTS
        case _:
            return 1, 1, 0


def _scaled(times: int, longer: int, thoughts: int = 0) -> Callable[[Usage], Usage]:
    def grow(usage: Usage) -> Usage:
        output = usage.output_tokens
        written = output + thoughts if thoughts else times * output
        return Usage(times * (usage.input_tokens + longer), written, estimated=True)

    return grow


def _plus(known: Usage | None, one: Usage) -> Usage:
    if known is None:
        return Usage(one.input_tokens, one.output_tokens, estimated=True)
    return Usage(
        known.input_tokens + one.input_tokens,
        known.output_tokens + one.output_tokens,
        estimated=True,
    )
