"""The upstreams of one model: whom to ask next, and what to do when one fails.

Retried is only what the upstream has surely not worked on: a request is never paid for twice
because an answer got lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import TypeVar

from msgspec import Struct

from shoal.engines.circuit import Circuit
from shoal.engines.reply import NeverAsked
from shoal.engines.upstream import Upstream
from shoal.errors import EngineBusy, EngineError, EngineRefused

T = TypeVar("T")

_LONGEST_WAIT_S = 10.0  # an upstream that wants more time than this is not waited for
_GIVE_UP_S = 30.0


class Place(Struct):
    """One upstream: its share of the requests, its circuit, and how many it works on."""

    upstream: Upstream
    weight: float
    circuit: Circuit
    under_way: int = 0
    turn: int = 0

    @property
    def load(self) -> tuple[float, int]:
        """The least is asked next; among equals the one that has waited longest."""
        return (self.under_way + 1) / self.weight, self.turn


class Pool:
    """The places of one model; ``retries`` is how often a request is tried again at most."""

    def __init__(self, name: str, places: Sequence[Place], retries: int) -> None:
        self._name, self._places = name, places
        self._retries = retries
        self._turns = count(1)

    async def ask(self, send: Callable[[Upstream], Awaitable[T]]) -> T:
        """What ``send`` gets from one of the upstreams.

        Raises:
            EngineBusy: none is asked now, all of them having failed lately.
            EngineError: what ``send`` raised, once it is not to be tried again.
        """
        try:
            return await self._once(send)
        except EngineError as error:
            if not self._retries or _pause(error) is False:
                raise
            return await self._again(send, error)

    async def find(self, send: Callable[[Upstream], Awaitable[T]]) -> T:
        """What ``send`` gets from the first upstream that has it.

        Raises:
            EngineError: none has it; the first that could not say raises before those that said so.
        """
        failures: list[EngineError] = []
        for place in self._places:
            try:
                return await send(place.upstream)
            except EngineError as error:
                failures.append(error)
        raise min(failures, key=_says_no)

    async def aclose(self) -> None:
        """Close all connections."""
        for place in self._places:
            await place.upstream.aclose()

    async def _again(self, send: Callable[[Upstream], Awaitable[T]], first: EngineError) -> T:
        import stamina  # 50 ms, and 60 us of CPU a use: for those few that need it

        waiting: EngineError | None = first
        pausing = True
        try:
            async for attempt in stamina.retry_context(
                on=_pause,
                attempts=self._retries + 1,
                timeout=_GIVE_UP_S,
                wait_initial=0.1,
                wait_jitter=0.4,
            ):
                with attempt:
                    if waiting is not None:  # the one that failed counts, and is waited for
                        error, waiting = waiting, None
                        raise error
                    pausing = False
                    try:
                        return await self._once(send)
                    except EngineError:
                        pausing = True
                        raise
        except asyncio.CancelledError:
            if pausing:  # after failures that were surely not worked on
                raise NeverAsked from None
            raise
        raise AssertionError("the last attempt raises")

    async def _once(self, send: Callable[[Upstream], Awaitable[T]]) -> T:
        place = self._next()
        place.turn = next(self._turns)
        place.under_way += 1
        circuit = place.circuit
        probe = circuit.begin()
        try:
            result = await send(place.upstream)
        except EngineError as error:
            if error.is_outage:
                circuit.failed(probe)
            else:
                circuit.succeeded()
            raise
        except BaseException:  # cancelled, as a rule: whatever it was, the probe is over
            circuit.abandoned(probe)
            raise
        finally:
            place.under_way -= 1
        circuit.succeeded()
        return result

    def _next(self) -> Place:
        able = [place for place in self._places if not place.circuit.is_open]
        if not able:
            wait = min(place.circuit.closes_in_s for place in self._places)
            raise EngineBusy(self._name, wait)
        return min(able, key=lambda place: place.load)


def _says_no(error: EngineError) -> bool:
    """Whether an upstream said that it does not have what was asked for."""
    return isinstance(error, EngineRefused) and error.status == 404


def _pause(error: Exception) -> bool | float:
    """Whether to try again; a number is the seconds that the upstream wants to be left alone."""
    if not isinstance(error, EngineError) or not error.may_be_retried:
        return False
    wait = error.retry_after_s
    if wait is None:
        return True
    return wait if wait <= _LONGEST_WAIT_S else False
