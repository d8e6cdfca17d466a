"""Asks the LLM, and those who stand in for it when it cannot answer."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from msgspec import Struct

from shoal.assembly.models import Model, Models
from shoal.assembly.shield import Shield
from shoal.chat import Answer, AnswerStream
from shoal.errors import (
    BudgetExceeded,
    ContextLengthExceeded,
    EngineBusy,
    EngineError,
    MaxCostExceeded,
    NoAnswerer,
    PriceUnknown,
    ShoalError,
    Untranslatable,
    kind_of,
)
from shoal.routing.context import check_context
from shoal.routing.receipt import Tried


class Reached(Struct, frozen=True):
    """Who answered, with what, whole or as a stream, and all who were ``tried``. ``waited_ms`` is
    how long those who were asked took, or took to begin."""

    model: Model
    tried: tuple[Tried, ...]
    waited_ms: float
    answer: Answer | None = None
    stream: AnswerStream | None = None


_TOO_DEAR = (BudgetExceeded, MaxCostExceeded, PriceUnknown)
_PASSED_OVER = (NoAnswerer, ContextLengthExceeded, Untranslatable, *_TOO_DEAR)


_LLM, _STANDS_IN = "the last rung: the LLM", "stands in for the LLM"
_HOLDS = "holds the tool loop, in which it stood in for the LLM"


async def reach(
    models: Models,
    llm: Model,
    shield: Shield,
    asking: Callable[[Model], AbstractContextManager[None]],
    holder: tuple[Model, ...] = (),
) -> Reached:
    """Ask the ``holder`` of the tool loop, if one stood in for ``llm`` when it began. Else, or
    where it cannot answer, ask ``llm``; where that may not be asked, its context is too small, or
    it fails by no fault of the request, its fallbacks, in their order. Each sees of the request
    what the shield lets it see. ``asking`` sets aside what a model may cost while it is asked, and
    raises for one that may cost too much: the LLM is then refused, another is passed over.

    Raises:
        EngineError: nobody could answer; the error is that of the first who was asked.
        RequestError: it cannot be put to any of them.
    """
    tried: list[Tried] = []
    first: ShoalError | None = None
    others = [model for model in models.fallbacks(llm) if model not in holder]
    for model in (*holder, llm, *others):
        began = time.perf_counter()
        try:
            shield.check(model)
            check_context(shield.request, model.name, model.context)
            with asking(model):
                answer, stream = await _ask(model, shield)
        except (EngineError, *_PASSED_OVER) as error:
            tried.append(_in_vain(model, error, began))
            first = first or error
            if _is_final(error, model is llm):
                break
            continue
        last = model.chosen or _LLM
        reason = _HOLDS if model in holder else _STANDS_IN if model is not llm else last
        took = _since(began)
        tried.append(Tried(model.name, True, reason, latency_ms=took, at=_at(took)))
        waited = sum(one.latency_ms for one in tried if one.at)
        return Reached(model, tuple(tried), waited, answer, stream)
    assert first is not None
    first.tried = tuple(tried)
    raise first from None


def why(llm: Model, reached: Reached, reason: str) -> str:
    """Why the model that answered did; ``reason`` is why nothing below the LLM was to."""
    if reached.model is not llm:
        return _stood_in(llm, reached)
    return f"{llm.chosen}; {reason}" if llm.chosen and reason else llm.chosen or reason


def _stood_in(llm: Model, reached: Reached) -> str:
    name = reached.model.name
    if reached.tried[-1].reason == _HOLDS:
        return f"{name} stood in for {llm.name} when this tool loop began, and goes on"
    return f"{llm.name} could not answer, {name} stands in for it"


def _is_final(error: ShoalError, by_llm: bool) -> bool:
    """Whether nobody else is asked."""
    if isinstance(error, EngineError):
        return not error.may_fall_back
    return by_llm and isinstance(error, (Untranslatable, *_TOO_DEAR))


async def _ask(model: Model, shield: Shield) -> tuple[Answer | None, AnswerStream | None]:
    request = shield.request_for(model)
    if request.stream:
        return None, shield.restored_stream(await model.engine.stream(request), model)
    return shield.restored(await model.engine.answer(request), model), None


def _in_vain(model: Model, error: ShoalError, began: float) -> Tried:
    took = _since(began)
    asked = isinstance(error, EngineError) and not isinstance(error, EngineBusy)
    at = _at(took) if asked else 0.0
    return Tried(model.name, False, str(error), latency_ms=took, at=at, error=kind_of(error))


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1e3


def _at(took_ms: float) -> float:
    """When it began, in seconds since 1970."""
    return time.time() - took_ms / 1e3
