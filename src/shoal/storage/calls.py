"""Recorded calls.

A call's row holds everything but its conversation, which is a node of ``bodies``. The wire bytes of
request and answer (``body``) are not kept: everything Shoal learns from is in the other fields.
"""

from collections.abc import Iterator, Mapping, Sequence
from sys import getsizeof
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, Select, bindparam, func, select, tuple_, update

from shoal.chat import Answer, Request, ToolCall
from shoal.errors import NotFound, StoreDamaged
from shoal.storage import bodies
from shoal.storage.database import AnyRow, Database
from shoal.storage.packing import pack, unpack
from shoal.storage.prepared import InsertNew
from shoal.storage.schema import calls
from shoal.storage.spend import Spending, add_spending
from shoal.storage.volume import Volume, volumes


class CallRecord(Struct, frozen=True, kw_only=True):
    """One call: the request, the answer or the error, who answered, why, and what it took.

    ``id`` is a UUIDv7 and ``at`` unix seconds, both given by the recorder. ``task`` is a task id or
    "", ``key`` the id of the caller's key or "". ``llm`` is the model the call was, or would have
    been, sent to, and ``answered_by`` equals it when that model answered. ``sampled`` marks the
    unbiased sample of its task's traffic. Costs are USD, None where a price is unknown. ``receipt``
    is JSON. ``body`` of request and answer is not stored, and comes back empty.
    """

    id: str
    at: float
    episode: str = ""
    request: Request
    answer: Answer | None = None
    error: str = ""
    task: str = ""
    answered_by: str = ""
    reason: str = ""
    llm: str = ""
    sampled: bool = False
    cost: float | None = None
    llm_cost: float | None = None
    latency_ms: float = 0.0
    receipt: bytes = b"{}"
    source: Literal["live", "import"] = "live"
    key: str = ""


class CallFilter(Struct, frozen=True, kw_only=True):
    """Which calls to list; None leaves a field open. ``task`` "" means those without one.
    ``answer_id`` is what a provider keeps the answer under."""

    task: str | None = None
    answered_by: str | None = None
    episode: str | None = None
    key: str | None = None
    answer_id: str | None = None
    since: float | None = None
    limit: int = 50


class Arrivals(Struct, frozen=True):
    """Calls in the order they were recorded, and the mark after which to go on."""

    calls: list[CallRecord]
    mark: int


_ALL = CallFilter()
LONGEST_ANSWER_ID = 256  # characters
_BARE_BYTES = 2_000  # of a call without its texts: ids, receipt, the structs themselves
_TOKEN_BYTES = 150  # of an alternative: a pair, a short text and a number
_add = InsertNew(calls, key="id", generated="number")
_encode = msgspec.json.Encoder().encode
_answer = msgspec.json.Decoder(Answer)


class Calls:
    """The calls of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def insert(self, conn: Connection, call: CallRecord, held: float = 0.0) -> bool:
        """Record a call, and what it cost; false, and nothing is changed, if there is one of that
        id. Imported calls were paid elsewhere, and those without an answer cost nothing. ``held``
        is the USD that budgets count for a cost that is unknown."""
        added = _add(conn, _row(call, bodies.save(conn, call.request))) is not None
        if added and call.answer is not None and call.source == "live":
            add_spending(conn, _spending(call, call.answer, held))
        return added

    def assign(self, conn: Connection, tasks: Mapping[str, str]) -> None:
        """Give calls their tasks: call id to task id, "" to take a call out of its task."""
        if tasks:
            change = (
                update(calls).where(calls.c.id == bindparam("call")).values(task=bindparam("to"))
            )
            conn.execute(change, [{"call": call, "to": task} for call, task in tasks.items()])

    def reassign(self, conn: Connection, task: str, to: str) -> int:
        """Give every call of ``task`` to the task ``to``, both ids; returns how many there were."""
        return conn.execute(update(calls).where(calls.c.task == task).values(task=to)).rowcount

    def get(self, call_id: str) -> CallRecord:
        """The call of that id.

        Raises:
            NotFound: no such call; it may have expired.
        """
        with self._database.read() as conn:
            found = read_calls(conn, select(calls).where(calls.c.id == call_id))
        if not found:
            raise NotFound(f"no call of id {call_id!r}: it was never recorded here, or has expired")
        return found[0]

    def keys_of_answer(self, answer_id: str) -> set[str]:
        """The keys, by id, whose calls were answered under an id of a provider's."""
        query = select(calls.c.key).distinct().where(calls.c.answer_id == answer_id)
        with self._database.read() as conn:
            return set(conn.execute(query.where(calls.c.answer_id != "")).scalars())

    def pages(self, after: str = "", size: int = 500) -> Iterator[list[CallRecord]]:
        """All calls with an id over ``after``, in the order of ids, a page at a time.

        Ids are given out when calls begin, so one that takes long may turn up below the last id
        seen: ``arrivals`` misses none.
        """
        while page := self._page(after, size):
            yield page
            after = page[-1].id

    def history(self, task: str | None = None, size: int = 100) -> Iterator[list[CallRecord]]:
        """The calls of ``task``, or of all tasks, oldest first, a page at a time."""
        after = (float("-inf"), 0)
        query = select(calls).order_by(calls.c.at, calls.c.number).limit(size)
        if task is not None:
            query = query.where(calls.c.task == task)
        while True:
            later = tuple_(calls.c.at, calls.c.number) > tuple_(*after)
            with self._database.read() as conn:
                page = numbered_calls(conn, query.where(later))
            if not page:
                return
            number, last = next(reversed(page.items()))
            after = (last.at, number)
            yield list(page.values())

    def arrivals(self, mark: int = 0, limit: int = 500, unassigned: bool = False) -> Arrivals:
        """Up to ``limit`` calls recorded after ``mark`` (0 is the beginning), oldest first."""
        query = select(calls).where(calls.c.number > mark).order_by(calls.c.number).limit(limit)
        if unassigned:
            query = query.where(calls.c.task == "")
        with self._database.read() as conn:
            rows = conn.execute(query).all()
            if len(rows) < limit:
                last: int | None = conn.execute(select(func.max(calls.c.number))).scalar()
            else:
                last = rows[-1].number
            return Arrivals(_calls(conn, rows), max(mark, last or 0))

    def volumes(self, since: float = 0.0) -> dict[str, Volume]:
        """How many calls each task (by id; "" for those without one) had since that moment."""
        with self._database.read() as conn:
            return volumes(conn, since)

    def _page(self, after: str, size: int) -> list[CallRecord]:
        query = select(calls).where(calls.c.id > after).order_by(calls.c.id).limit(size)
        with self._database.read() as conn:
            return read_calls(conn, query)

    def list(self, which: CallFilter = _ALL) -> list[CallRecord]:
        """Calls by ``which``, newest first."""
        query = select(calls).order_by(calls.c.at.desc(), calls.c.number.desc()).limit(which.limit)
        for name in ("task", "answered_by", "episode", "key"):
            value = getattr(which, name)
            if value is not None:
                query = query.where(calls.c[name] == value)
        if which.answer_id is not None:  # the second half opens the index, which is a partial one
            query = query.where(calls.c.answer_id == which.answer_id, calls.c.answer_id != "")
        if which.since is not None:
            query = query.where(calls.c.at >= which.since)
        with self._database.read() as conn:
            return read_calls(conn, query)


def call_bytes(call: CallRecord) -> int:
    """About how many bytes of memory a call takes while it waits to be written."""
    request, answer = call.request, call.answer
    size = _BARE_BYTES + len(request.body) + getsizeof(request.tools) + getsizeof(request.params)
    for message in request.messages:
        size += getsizeof(message.text) + getsizeof(message.parts)
        size += _tool_bytes(message.tool_calls)
    if answer is not None:
        size += len(answer.body) + getsizeof(answer.text) + _tool_bytes(answer.tool_calls)
        size += sum(_TOKEN_BYTES * len(one.tokens) for one in answer.alternatives)
    return size


def _tool_bytes(calls: tuple[ToolCall, ...]) -> int:
    return sum(getsizeof(call.arguments) for call in calls)


def read_calls(conn: Connection, query: Select[Any]) -> list[CallRecord]:
    """The calls that ``query``, a select of whole rows of ``calls``, finds, in its order."""
    return _calls(conn, conn.execute(query).all())


def numbered_calls(conn: Connection, query: Select[Any]) -> dict[int, CallRecord]:
    """As ``read_calls``, by the numbers that count calls in the order they were recorded."""
    rows = conn.execute(query).all()
    return dict(zip((row.number for row in rows), _calls(conn, rows), strict=True))


def _calls(conn: Connection, rows: Sequence[AnyRow]) -> list[CallRecord]:
    conversations = bodies.load(conn, (row.node for row in rows))
    return [_call(row, conversations[row.node]) for row in rows]


def unpack_answer(column: bytes) -> Answer:
    """The answer that a column holds.

    Raises:
        StoreDamaged: it holds none.
    """
    try:
        return _answer.decode(unpack(column))
    except msgspec.DecodeError as error:
        raise StoreDamaged(
            f"a stored answer cannot be read ({error}); it was left as it is"
        ) from error


def _spending(call: CallRecord, answer: Answer, held: float) -> Spending:
    return Spending(
        at=call.at,
        key=call.key,
        model=call.answered_by,
        task=call.task,
        usage=answer.usage,
        cost=call.cost,
        llm_cost=call.llm_cost,
        held=held if call.cost is None else 0.0,
    )


def _row(call: CallRecord, node: int) -> dict[str, Any]:
    request, answer = call.request, call.answer
    if answer is not None and answer.body:
        answer = replace(answer, body=b"")
    return {
        "id": call.id,
        "at": call.at,
        "episode": call.episode,
        "task": call.task,
        "answered_by": call.answered_by,
        "reason": call.reason,
        "llm": call.llm,
        "sampled": call.sampled,
        "cost": call.cost,
        "llm_cost": call.llm_cost,
        "latency_ms": call.latency_ms,
        "source": call.source,
        "node": node,
        "model": request.model,
        "params": request.params,
        "stream": request.stream,
        "answer": None if answer is None else pack(_encode(answer)),
        "error": call.error,
        "receipt": pack(call.receipt),
        "key": call.key,
        "answer_id": answer.id if answer is not None and _is_id(answer.id) else "",
    }


def _is_id(given: str) -> bool:
    """Whether an index can hold an id that a provider gave."""
    return given.isprintable() and len(given) <= LONGEST_ANSWER_ID


def _call(row: AnyRow, said: bodies.Conversation) -> CallRecord:
    request = Request(
        model=row.model,
        messages=said.messages,
        tools=said.tools,
        response_format=said.response_format,
        params=row.params,
        stream=row.stream,
    )
    return CallRecord(
        id=row.id,
        at=row.at,
        episode=row.episode,
        request=request,
        answer=None if row.answer is None else unpack_answer(row.answer),
        error=row.error,
        task=row.task,
        answered_by=row.answered_by,
        reason=row.reason,
        llm=row.llm,
        sampled=row.sampled,
        cost=row.cost,
        llm_cost=row.llm_cost,
        latency_ms=row.latency_ms,
        receipt=unpack(row.receipt),
        source=row.source,
        key=row.key,
    )
