"""Asks the LLM, and those who stand in for it when it cannot answer."""

import time

from msgspec import Struct

from shoal.assembly.models import Model, Models
from shoal.chat import Answer, AnswerStream, Request
from shoal.errors import EngineError
from shoal.routing.receipt import Tried


class Reached(Struct, frozen=True):
    """Who answered, with what, whole or as a stream, and all who were ``tried``. ``waited_ms`` is
    how long the one who answered took, or took to begin."""

    model: Model
    tried: tuple[Tried, ...]
    waited_ms: float
    answer: Answer | None = None
    stream: AnswerStream | None = None


async def reach(models: Models, llm: Model, request: Request) -> Reached:
    """Ask ``llm``; where it fails by no fault of the request, its fallbacks, in their order.

    Raises:
        EngineError: nobody could answer; the error is that of ``llm``.
        RequestError: it cannot be put to any of them.
    """
    tried: list[Tried] = []
    first: EngineError | None = None
    for model in (llm, *models.fallbacks(llm)):
        began = time.perf_counter()
        try:
            answer, stream = await _ask(model, request)
        except EngineError as error:
            if not error.may_fall_back:
                raise first or error from None
            first = first or error
            tried.append(Tried(model.name, False, str(error), latency_ms=_since(began)))
            continue
        reason = "stands in for the LLM" if tried else "the last rung: the LLM"
        tried.append(Tried(model.name, True, reason))
        return Reached(model, tuple(tried), _since(began), answer, stream)
    assert first is not None
    raise first


async def _ask(model: Model, request: Request) -> tuple[Answer | None, AnswerStream | None]:
    if request.stream:
        return None, await model.engine.stream(request)
    return await model.engine.answer(request), None


def _since(began: float) -> float:
    return (time.perf_counter() - began) * 1e3
