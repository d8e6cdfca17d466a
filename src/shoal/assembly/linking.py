"""Links calls into episodes, and tells who holds a tool loop.

What this process answered it knows by itself; for a call that goes on from nothing of that, the
record is asked, in a thread and while the LLM answers, whether another process did.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from msgspec.structs import replace

from shoal.assembly.handled import Handled
from shoal.assembly.models import Model
from shoal.chat import Answer, Request
from shoal.errors import StoreError
from shoal.formats.responses.answers import PREFIX
from shoal.formats.responses.kept import previous_of
from shoal.routing.caller import Caller
from shoal.routing.episodes import Episodes, Found
from shoal.routing.tool_loops import in_tool_loop, worth_a_switch, worth_asking
from shoal.storage import Store
from shoal.storage.continued import continued

log = logging.getLogger(__name__)

_LOOK_S = 0.05  # that an answer may wait for the record, if it was there before
_MOST_BEGUN = 10_000


class Linking:
    """The episodes under way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._episodes = Episodes()
        self._begun: OrderedDict[tuple[str, int], None] = OrderedDict()  # that nobody recorded
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shoal-episodes")

    def find(self, request: Request, caller: Caller, named: str) -> Found:
        """Which episode a call is of, and what it goes on from; ``named`` is what its caller says,
        "" for nothing."""
        return self._episodes.find(request, caller.key, named, previous_of(request))

    def episode_of_failed(self, request: Request, caller: Caller, named: str) -> str:
        """Which episode a call is of that was looked for before, but got no answer; "" if it began
        one."""
        previous = previous_of(request)
        return self._episodes.find(request, caller.key, named, previous, again=True).episode

    def begin(self, handled: Handled) -> Handled:
        """A call that begins an episode gives it its name, unless the record knows better, which is
        being asked; its receipt tells the episode once that is known."""
        found = handled.found
        if handled.episode or found is None:
            return _told(handled)
        handled = replace(handled, episode=handled.receipt.call_id)
        beginning = handled.caller.key, found.answered
        if not found.answered or beginning in self._begun:
            return _told(handled)
        self._begun[beginning] = None
        while len(self._begun) > _MOST_BEGUN:
            self._begun.popitem(last=False)
        work = partial(_recorded, self._store, handled.request, handled.caller.key)
        looking = asyncio.get_running_loop().run_in_executor(self._pool, work)
        return replace(handled, recorded=looking)

    def known(self, handled: Handled) -> Handled:
        """The call with what the record knew, if it has said so while the call was answered."""
        if handled.recorded is None or not handled.recorded.done():
            return handled
        return _told(replace(handled, episode=handled.recorded.result() or handled.episode))

    async def settled(self, handled: Handled) -> Handled:
        """The call with what the record knew, if it has said so by now."""
        if handled.recorded is None or handled.receipt.episode:
            return handled
        try:
            episode = await asyncio.wait_for(handled.recorded, _LOOK_S)
        except TimeoutError:
            episode = ""
        return _told(replace(handled, episode=episode or handled.episode))

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False)

    def answered(self, handled: Handled, answer: Answer) -> None:
        """A call has its whole answer: others may go on from it."""
        if handled.found is None:
            return
        request, ids = handled.request, list[str]()
        if request.format == "responses":
            ids = [one for one in (answer.id, PREFIX + handled.receipt.call_id) if one]
        by = handled.answerer.name if handled.answerer else ""
        found = handled.found._replace(episode=handled.episode)
        self._episodes.answered(found, request, answer, handled.caller.key, by, ids)


def _told(handled: Handled) -> Handled:
    return replace(handled, receipt=replace(handled.receipt, episode=handled.episode))


def _recorded(store: Store, request: Request, key: str) -> str:
    try:
        return continued(store.database, request, key)
    except StoreError as error:  # the call begins an episode then
        log.warning("whether a call goes on from another cannot be read: %s", error)
        return ""


def holder(handled: Handled) -> tuple[Model, ...]:
    """The model that stood in for the LLM when a tool loop began, where it goes on now: its cache
    holds the conversation. Empty if there is none, or the LLM is the cheaper all the same."""
    llm, strand = handled.model, handled.found.strand if handled.found else None
    if llm is None or strand is None or not in_tool_loop(handled.request.messages):
        return ()
    fallbacks = handled.regime.models.fallbacks(llm)
    held = next((model for model in fallbacks if model.name == strand.answered_by), None)
    if held is None or worth_a_switch(held.tariff, llm.tariff, strand.usage, strand.steps):
        return ()
    return (held,)


def not_worth_asking(handled: Handled, names: Sequence[str], share: float) -> str:
    """Why not to ask cheaper models, of whose answers a ``share`` is accepted, in the tool loop
    that the LLM holds; "" if it holds none, or if they save more than they take."""
    llm, strand = handled.model, handled.found.strand if handled.found else None
    if llm is None or strand is None or strand.answered_by != llm.name:
        return ""
    if not in_tool_loop(handled.request.messages):
        return ""
    asked = [handled.regime.models.get(name) for name in names]
    tariffs = [
        one.tariff for one in asked for _ in range(one.strategy.samples if one.strategy else 1)
    ]
    if worth_asking(tariffs, share, llm.tariff, strand.usage):
        return ""
    return "the LLM holds this tool loop, and its cache the conversation: asking others saves less"
