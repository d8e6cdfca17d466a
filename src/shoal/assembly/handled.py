"""A call being handled: what was served, and what is needed to record and to compare it."""

from shoal.assembly.models import Model
from shoal.assembly.roster import Post
from shoal.chat import Request
from shoal.routing.caller import ANYBODY, Caller
from shoal.routing.receipt import Served
from shoal.tasks import Match


class Handled(Served, frozen=True, kw_only=True):
    """``model`` is None if the caller named none that exists; ``match`` and ``post`` are None for
    a call of no known task. ``began`` is a reading of ``time.perf_counter``."""

    request: Request
    episode: str
    began: float
    model: Model | None = None
    match: Match | None = None
    post: Post | None = None
    caller: Caller = ANYBODY
