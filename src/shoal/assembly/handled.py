"""A call being handled: what was served, and what is needed to record and to compare it."""

import asyncio

from msgspec import Struct

from shoal.assembly.models import Model
from shoal.assembly.regime import Regime
from shoal.assembly.roster import OwnRung, Post
from shoal.assembly.shield import Shield
from shoal.chat import Answer, Request
from shoal.routing.answer_cache import Cached
from shoal.routing.budget import Reservation
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.episodes import Found
from shoal.routing.rate_limits import Allowance
from shoal.routing.receipt import Served
from shoal.routing.rung import Verdict
from shoal.storage import Spending
from shoal.tasks import Match


class Said(Struct, frozen=True):
    """What one model answered whole, and what that took; ``reservation`` is what was set aside."""

    model: Model
    answer: Answer
    spent: Spending
    latency_ms: float
    reservation: Reservation | None = None


class Handled(Served, frozen=True, kw_only=True):
    """``model`` is the LLM asked for, None if the caller named none that exists; ``answerer`` the
    model that answered, which may stand in for it, None if none did. ``match`` and ``post`` are
    None for a call of no known task. ``shield`` is what the privacy rules say of the request, None
    if it got no further than them. ``allowance`` is what the call took of its caller's limits,
    ``reservation`` what was set aside of budgets. ``began`` is a reading of ``time.perf_counter``.
    ``cache_key`` is what the answer may be cached under, b"" if it may not; ``cached`` is where it
    came from, if it was. ``rung`` is what answered in the LLM's place, None if none did; ``unsure``
    what the task's specialist said that would have answered, had it been surer, and ``said`` what
    the models did that were asked whether they agree. ``found`` is what the call goes on from,
    ``recorded`` the episode that another process may have recorded it to be of, once that is known.
    """

    request: Request
    episode: str
    found: Found | None = None
    recorded: asyncio.Future[str] | None = None
    regime: Regime
    began: float
    shield: Shield | None = None
    model: Model | None = None
    answerer: Model | None = None
    match: Match | None = None
    post: Post | None = None
    caller: Caller = ANYBODY
    allowance: Allowance | None = None
    reservation: Reservation | None = None
    cache_key: bytes = b""
    cached: Cached | None = None
    rung: OwnRung | None = None
    unsure: Verdict | None = None
    said: tuple[Said, ...] = ()
