"""Asks several times at once, and puts together what that took."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from msgspec.structs import replace

from shoal.chat import Answer, Deliberation, Sample, Usage
from shoal.errors import EffortExceeded, ShoalError

Candidate = Answer | ShoalError
"""What came of asking once."""


async def together(asking: Sequence[Coroutine[Any, Any, Answer]]) -> list[Candidate]:
    """What came of each, in their order; a failure is part of that. When this is cancelled, or
    anything but a ``ShoalError`` is raised, all are cancelled."""

    async def one(asked: Coroutine[Any, Any, Answer]) -> Candidate:
        try:
            return await asked
        except ShoalError as error:
            return error

    tasks = [asyncio.ensure_future(one(asked)) for asked in asking]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def asked_at_all(candidate: Candidate) -> bool:
    """Whether anything was asked: not where the budget did not even pay for the first turn."""
    return not isinstance(candidate, EffortExceeded) or bool(candidate.tried)


def samples_of(candidate: Candidate, model: str, agrees: bool | None = None) -> tuple[Sample, ...]:
    """The calls of models behind a candidate; ``model`` is who was asked, if it does not tell."""
    if isinstance(candidate, ShoalError):
        found = tuple(one for one in candidate.tried if isinstance(one, Sample))
    elif candidate.deliberation is not None:
        found = candidate.deliberation.samples
    else:
        found = (Sample(model, usage=candidate.usage),)
    if agrees is None:
        return found
    return tuple(replace(one, agrees=agrees) if not one.error else one for one in found)


def concluded(answer: Answer, deliberation: Deliberation) -> Answer:
    """The answer that is given: with the tokens and the cost of all ``samples``, and without what
    belongs to the one call it comes from (its bytes, its ids)."""
    costs = [sample.cost for sample in deliberation.samples]
    known = [cost for cost in costs if cost is not None]
    told = replace(deliberation, cost=sum(known) if len(known) == len(costs) else None)
    usage = summed([sample.usage for sample in deliberation.samples])
    return replace(answer, usage=usage, deliberation=told, body=b"", id="", request_id="")


def summed(usages: Sequence[Usage | None]) -> Usage | None:
    """The tokens of several calls; None if nothing is known of any. They are estimated if those of
    one are, or nobody told them."""
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    return Usage(
        sum(one.input_tokens for one in known),
        sum(one.output_tokens for one in known),
        sum(one.cached_tokens for one in known),
        sum(one.reasoning_tokens for one in known),
        len(known) < len(usages) or any(one.estimated for one in known),
        sum(one.cache_write_tokens for one in known),
    )


def in_vain(candidates: Sequence[Candidate], model: str) -> ShoalError:
    """The first failure of several that all failed, with all that was asked in ``tried``."""
    first = next(one for one in candidates if isinstance(one, ShoalError))
    first.tried = tuple(one for each in candidates for one in samples_of(each, model))
    return first
