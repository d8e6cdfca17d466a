"""Responses by their ids: those that Shoal wrote, from the record; others from who made them.

Whoever asks sees the responses of its own key. The record tells whose each is, and which model made
it; what is not recorded is not asked for anywhere, for an id alone is no right to see it.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from shoal.assembly.purse import Purse
from shoal.assembly.regime import Regime
from shoal.chat import Request
from shoal.engines import Reply, ResponseKeeper
from shoal.errors import MalformedRequest, NotAllowed, NotFound, StoreError, Untranslatable
from shoal.formats import Envelope
from shoal.formats.responses.answers import PREFIX
from shoal.formats.responses.kept import (
    AskedResponse,
    encode_items,
    encode_kept,
    previous_of,
    recalled,
)
from shoal.routing.caller import Caller
from shoal.routing.receipt import ServedReply
from shoal.storage import CallFilter, CallRecord, Store
from shoal.storage.calls import LONGEST_ANSWER_ID

P = ParamSpec("P")
T = TypeVar("T")

_LOOK_S = 2.0
_ID = re.compile(rf"\w[\w=+:~.-]{{0,{LONGEST_ANSWER_ID - 1}}}", re.ASCII)  # part of a path


class KeptResponses:
    """Tells of responses, and to whom they belong. The record is read in a thread of its own, and
    waited for 2 s at the most, so that a store that hangs holds up nothing else."""

    def __init__(self, store: Store, purse: Purse) -> None:
        self._store, self._purse = store, purse
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shoal-responses")

    async def tell(self, asked: AskedResponse, caller: Caller, regime: Regime) -> ServedReply:
        """What is to be told of a response. No call is recorded, and nothing spent.

        Raises:
            NotFound: no such response, or it is another key's.
            NotAllowed: it is Shoal's record, and to be deleted; or its model is not for the caller.
            MalformedRequest: it cannot be asked so.
            RateLimited: the caller asks too often.
            StoreError: the record cannot be read.
            EngineError: who keeps it could not say.
        """
        asked.check()
        limits = self._purse.admit_request(caller).headers
        if not _ID.fullmatch(asked.id):
            raise _not_found(asked.id)
        own = None if "admin" in caller.spec.scopes else caller.key
        told = await self._read(_told_here, self._store, asked, own)
        if told is not None:
            return ServedReply(told, limits=limits)
        call = await self._read(_made_elsewhere, self._store, asked.id, own)
        caller.require_model(call.request.model)
        reply = await _told_elsewhere(call, regime, asked)
        return ServedReply(reply.body, reply.request_id, limits=limits)

    async def check_previous(self, request: Request, caller: Caller) -> None:
        """See that a request does not go on from another key's response, whose content its answer
        could tell. One that is not recorded is left to who keeps it.

        Raises:
            MalformedRequest: it does; said as of one that there is not.
            StoreError: the record cannot be read.
        """
        if not caller.key or "admin" in caller.spec.scopes or not (found := previous_of(request)):
            return
        keys = await self._read(self._store.calls.keys_of_answer, found)
        if keys and caller.key not in keys:
            said = f"Previous response with id {found!r} not found."
            raise MalformedRequest(said, "previous_response_id")

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False)

    async def _read(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        work = partial(read, *args, **kwargs)
        reading = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            return await asyncio.wait_for(reading, _LOOK_S)
        except TimeoutError:
            said = "the record, which tells whose that response is, cannot be read now"
            raise StoreError(said) from None


async def _told_elsewhere(call: CallRecord, regime: Regime, asked: AskedResponse) -> Reply:
    """What the one who made a response says of it."""
    if call.answered_by not in regime.models:
        gone = f"it was made by the model {call.answered_by!r}, which shoal.toml no longer names"
        raise NotFound(f"Response with id {asked.id!r} not found: {gone}")
    engine = regime.models.get(call.answered_by).engine
    try:
        if not isinstance(engine, ResponseKeeper):
            raise Untranslatable(f"{call.answered_by} keeps no responses")
        return await engine.kept_response(asked)
    except Untranslatable as error:
        raise NotFound(f"Response with id {asked.id!r} not found: {error}") from None


def _told_here(store: Store, asked: AskedResponse, own: str | None) -> bytes | None:
    call = _written_here(store, asked.id, own)
    return None if call is None else _told(asked, call)


def _written_here(store: Store, response_id: str, own: str | None) -> CallRecord | None:
    """The call whose answer Shoal wrote under that id; ``own`` None: whosever it is."""
    try:
        call = store.calls.get(response_id.removeprefix(PREFIX))
    except NotFound:
        return None
    mine = own is None or call.key == own
    return call if mine and response_id == PREFIX + call.id else None


def _made_elsewhere(store: Store, response_id: str, own: str | None) -> CallRecord:
    which = CallFilter(answer_id=response_id, key=own, limit=1)
    for call in store.calls.list(which):
        return call
    raise _not_found(response_id)


def _told(asked: AskedResponse, call: CallRecord) -> bytes:
    request, answer = recalled(call.request), call.answer
    if request is None or answer is None or not (answer.complete or call.error):
        raise _not_found(asked.id)
    envelope = Envelope(call.id, int(call.at), request)
    match asked.act:
        case "retrieve":
            return encode_kept(answer, envelope, call.error)
        case "input_items":
            return encode_items(envelope, asked.query)
        case "cancel":
            raise MalformedRequest(
                f"{asked.id}: only a response that is made in the background can be cancelled, and "
                "this one is whole"
            )
        case "delete":
            raise NotAllowed(
                f"{asked.id}: this response is part of Shoal's record of calls, which callers "
                "cannot delete from; it goes when calls expire (store.keep_days in shoal.toml)",
                "response_recorded",
            )


def _not_found(response_id: str) -> NotFound:
    return NotFound(
        f"Response with id {response_id!r} not found: it was not made by way of this gateway with "
        "this key, was not to be kept (store), or has expired"
    )
