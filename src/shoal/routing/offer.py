"""What Shoal offers to be called as a tool, whoever asks for it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from shoal.chat import Answer, Request
from shoal.errors import ShoalError
from shoal.routing.caller import Caller
from shoal.routing.receipt import Receipt
from shoal.tools.tool import Json, ToolSpec


class Recorded(Struct, frozen=True):
    """A call of a model as it was asked and recorded, with its ``answer`` or the ``error`` why
    there is none. ``began`` is a reading of ``time.perf_counter``."""

    request: Request
    receipt: Receipt
    began: float
    answer: Answer | None = None
    error: ShoalError | None = None


class Outcome(Struct, frozen=True):
    """What came of a call: a ``value`` that fits ``spec.gives``, and the same as ``text`` for a
    person or a model; or an ``error``. ``call_id`` is the recorded call's, "" if none was;
    ``call`` that call for who keeps figures."""

    value: dict[str, Json] = {}
    text: str = ""
    error: str = ""
    call_id: str = ""
    call: Recorded | None = None


class Offer(Struct, frozen=True):
    """A tool, and how it is called: with arguments that fit ``spec.takes``, on behalf of somebody
    whose grants hold. Raises nothing but ``ShoalError`` and ``CancelledError``."""

    spec: ToolSpec
    call: Callable[[Mapping[str, Json], Caller], Awaitable[Outcome]]


class Offers(Protocol):
    """Who knows what is on offer."""

    async def offers(self, caller: Caller) -> Sequence[Offer]:
        """What this caller may call, in a stable order, each name once.

        Raises:
            ShoalError: it cannot be told now.
        """
