"""A call as a line of JSON: how calls leave the store, and how they come back into one.

A line holds a Chat Completions ``request`` and its ``response``, which is what the ``recorded``
engine plays back, and beside them what Shoal knows of the call. What other programs write is read
by ``foreign_lines``; this module gives it an id and a time.
"""

import json
import math
from collections import Counter
from hashlib import blake2b
from itertools import count
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from shoal.assembly.foreign_lines import Exchange, exchange_of
from shoal.assembly.record import receipt_of
from shoal.errors import CallFileError, EngineUnreachable, MalformedRequest
from shoal.formats.chat_completions import (
    decode_answer,
    decode_request,
    encode_answer,
    record_request,
)
from shoal.formats.json_text import explain
from shoal.formats.wire_format import Envelope
from shoal.routing.receipt import Receipt
from shoal.storage import CallRecord

_FAR = 1e11  # seconds: a larger number is a time in milliseconds
_STEP_S = 1e-5  # from one line without a time to the next
_MEMBERS = msgspec.json.Decoder(dict[str, Raw])


class CallLine(Struct, frozen=True):
    """One line of an export; ``task`` is a name, ``at`` unix seconds."""

    id: str
    at: float
    task: str
    request: Raw
    response: Raw
    latency_ms: float
    answered_by: str
    receipt: Receipt


class _Known(Struct, frozen=True):
    """What a line may say of a call besides what was said in it."""

    at: float | None = None
    latency_ms: float | None = None
    answered_by: str | None = None
    receipt: Receipt | None = None


class _Reply(Struct):
    created: float | None = None


_KNOWN = msgspec.json.Decoder(_Known)
_REPLY = msgspec.json.Decoder(_Reply)


def is_whole(call: CallRecord) -> bool:
    """Whether the call has a whole answer, so that it can be played back and learned from."""
    return call.answer is not None and call.answer.complete and not call.error


def encode_line(call: CallRecord, task: str) -> bytes:
    """A call with a whole answer as a line; ``task`` is the name of its task.

    Token counts that are only estimates are left out.
    """
    answer = call.answer
    assert answer is not None
    if answer.usage is not None and answer.usage.estimated:
        answer = replace(answer, usage=None)
    line = CallLine(
        id=call.id,
        at=call.at,
        task=task,
        request=Raw(record_request(call.request)),
        response=Raw(encode_answer(answer, Envelope(call.id, int(call.at), call.request))),
        latency_ms=call.latency_ms,
        answered_by=call.answered_by,
        receipt=receipt_of(call),
    )
    return msgspec.json.encode(line) + b"\n"


class LineReader:
    """Reads the lines of one file, in their order.

    A line without a UUID of its own gets one that depends on what it holds and on how many equal
    lines came before it, so that reading a file again gives the same ids. ``model`` is the model of
    lines that name none ("" if they are to be refused). Lines that tell no time came one after the
    other, from ``now`` on: what recurs is seen by their order.
    """

    def __init__(self, model: str, now: float) -> None:
        self._model, self._now = model, now
        self._seen: Counter[bytes] = Counter()
        self._undated = count()

    def read(self, line: bytes) -> CallRecord:
        """The call that a line holds.

        Raises:
            CallFileError: it holds none, and why.
        """
        members = _members(line)
        known = _known(line)
        exchange = exchange_of(members, self._model)
        call = _call(exchange, known)
        at = known.at or _created(exchange)
        model = call.request.model
        call_id = _given_id(members) or self._new_id(line, model, at)
        return replace(call, id=call_id, at=at or self._now + _STEP_S * next(self._undated))

    def _new_id(self, line: bytes, model: str, at: float) -> str:
        """A UUIDv7 of the line's content; the same line twice is two calls."""
        content = blake2b(_canonical(line) + b"\0" + model.encode(), digest_size=16).digest()
        nth = self._seen[content]
        self._seen[content] += 1
        digest = blake2b(content + nth.to_bytes(8), digest_size=16).digest()
        number = int.from_bytes(digest) & ((1 << 80) - 1) | int(at * 1000) << 80
        number = number & ~(0xF << 76) | 7 << 76  # the version
        return str(UUID(int=number & ~(0x3 << 62) | 0x2 << 62))  # the variant (RFC 9562)


def _members(line: bytes) -> dict[str, Raw]:
    try:
        return _MEMBERS.decode(line)
    except msgspec.ValidationError:
        if line.lstrip()[:1] == b"[":
            raise CallFileError("holds a list; expected one call a line (JSON lines)") from None
        raise CallFileError("is no JSON object") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise CallFileError(f"is not JSON: {error}") from None


def _known(line: bytes) -> _Known:
    try:
        known = _KNOWN.decode(line)
    except msgspec.ValidationError as error:
        raise CallFileError(explain(error, "")[0]) from None
    if known.at is not None and not 0 < known.at < _FAR:
        raise CallFileError(f"at: expected seconds since 1970, found {known.at:g}")
    if known.latency_ms is not None and not 0 <= known.latency_ms < math.inf:
        raise CallFileError(f"latency_ms: expected milliseconds, found {known.latency_ms:g}")
    return known


def _call(exchange: Exchange, known: _Known) -> CallRecord:
    """The call, without its id and its time."""
    try:
        request = decode_request(exchange.request)
    except MalformedRequest as error:
        raise CallFileError(f"request: {error}") from None
    try:
        answer = decode_answer(exchange.response)
    except EngineUnreachable as error:
        raise CallFileError(f"response: {error}") from None
    receipt = known.receipt or Receipt("", 0.0, request.model, request.model, "imported")
    return CallRecord(
        id="",
        at=0.0,
        request=replace(request, body=b""),
        answer=replace(answer, body=b""),
        answered_by=known.answered_by or receipt.answered_by,
        reason=receipt.reason,
        llm=receipt.llm,
        sampled=receipt.sampled and exchange.traffic,
        cost=receipt.cost,
        llm_cost=receipt.llm_cost,
        latency_ms=known.latency_ms or 0.0,
        episode=receipt.episode,
        receipt=msgspec.json.encode(receipt) if known.receipt else b"{}",
        source="import",
    )


def _created(exchange: Exchange) -> float:
    """When the response was made (unix seconds); 0.0 if it does not tell."""
    try:
        created = _REPLY.decode(exchange.response).created or 0.0
    except msgspec.DecodeError:
        return 0.0
    return created if 0 < created < _FAR else 0.0


def _given_id(members: dict[str, Raw]) -> str:
    """The line's own id if it is a UUID: other ids may be given twice, in another file."""
    try:
        return str(UUID(msgspec.json.decode(members.get("id", Raw(b'""')), type=str)))
    except (msgspec.DecodeError, ValueError):
        return ""


def _canonical(line: bytes) -> bytes:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CallFileError(f"is not JSON: {error}") from None
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
