"""Examples: recorded calls with the answer that should have been given."""

from collections.abc import Iterable, Iterator
from typing import Literal

from msgspec import Struct
from sqlalchemy import and_, exists, or_, select

from shoal.chat import Answer, Request
from shoal.storage.audits import Audit, audits_of
from shoal.storage.calls import CallRecord, numbered_calls
from shoal.storage.database import Database, in_slices
from shoal.storage.feedback import Feedback, newest_feedback
from shoal.storage.schema import audits, calls, feedback

_PAGE = 500


class Example(Struct, frozen=True, kw_only=True):
    """A request of a task and its reference.

    The reference is a person's where one said what is right, else the LLM's. ``llm_answer`` is the
    LLM's own where it is known, and ``refuted`` an answer that a person called wrong without
    saying what is right. ``sampled`` marks the unbiased sample of the task's traffic. Of an
    example by people that is refuted nobody said what is right: ``reference`` is empty.
    """

    call_id: str
    at: float
    request: Request
    reference: Answer
    by: Literal["llm", "people"]
    sampled: bool
    llm_answer: Answer | None
    refuted: Answer | None = None
    episode: str = ""


class Examples:
    """The examples of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, task: str, limit: int | None = None) -> Iterator[Example]:
        """The examples of a task, the latest recorded first, at most ``limit``.

        Calls without a reference (served small and neither audited nor judged, failed, broken off)
        are left out. Feedback that only says "wrong" gives no reference, and takes none away.
        """
        before, found = None, 0
        while limit is None or found < limit:
            page, before = self._page(task, before)
            if before is None:
                return
            for example in page[: None if limit is None else limit - found]:
                yield example
                found += 1

    def of_calls(self, call_ids: Iterable[str]) -> Iterator[Example]:
        """The examples among these calls."""
        for call, audit, word in self._heard(call_ids):
            if example := _example(call, audit, word):
                yield example

    def reviewed(self, call_ids: Iterable[str]) -> Iterator[Example]:
        """As ``of_calls``, by what people said alone: one that a person only called wrong has an
        empty reference, whatever the LLM said, and is not left out."""
        for call, audit, word in self._heard(call_ids):
            example = _refuted(call, audit, word) or _example(call, audit, word)
            if example is not None:
                yield example

    def _heard(
        self, call_ids: Iterable[str]
    ) -> Iterator[tuple[CallRecord, Audit | None, Feedback | None]]:
        for ids in in_slices(call_ids):
            with self._database.read() as conn:
                numbered = numbered_calls(conn, select(calls).where(calls.c.id.in_(ids)))
                audited, judged = audits_of(conn, ids), newest_feedback(conn, ids)
            for call in numbered.values():
                yield call, audited.get(call.id), judged.get(call.id)

    def after(
        self, task: str, mark: int, since: float, until: float, limit: int = _PAGE
    ) -> tuple[list[Example], int]:
        """The examples among the next ``limit`` calls of a task recorded after number ``mark``,
        oldest first, of those made from ``since`` until ``until`` (unix seconds), and the mark
        after which to go on."""
        query = select(calls).where(calls.c.task == task, calls.c.number > mark)
        query = query.where(calls.c.at >= since, calls.c.at <= until)
        with self._database.read() as conn:
            numbered = numbered_calls(conn, query.order_by(calls.c.number).limit(limit))
            ids = [call.id for call in numbered.values()]
            audited, judged = audits_of(conn, ids), newest_feedback(conn, ids)
        found = [
            _example(call, audited.get(call.id), judged.get(call.id)) for call in numbered.values()
        ]
        return [example for example in found if example], max(numbered, default=mark)

    def _page(self, task: str, before: int | None) -> tuple[list[Example], int | None]:
        query = select(calls).where(calls.c.task == task, _may_have_reference)
        if before is not None:
            query = query.where(calls.c.number < before)
        with self._database.read() as conn:
            numbered = numbered_calls(conn, query.order_by(calls.c.number.desc()).limit(_PAGE))
            ids = [call.id for call in numbered.values()]
            audited, judged = audits_of(conn, ids), newest_feedback(conn, ids)
        found = [
            _example(call, audited.get(call.id), judged.get(call.id)) for call in numbered.values()
        ]
        return [example for example in found if example], min(numbered, default=None)


_may_have_reference = or_(
    and_(calls.c.answered_by == calls.c.llm, calls.c.answer.is_not(None), calls.c.error == ""),
    exists().where(audits.c.call_id == calls.c.id),
    exists().where(feedback.c.call_id == calls.c.id, feedback.c.verdict != "wrong"),
)


def _example(call: CallRecord, audit: Audit | None, word: Feedback | None) -> Example | None:
    llm_answer = _by_llm(call, audit)
    said = _by_people(call, word)
    reference = said or llm_answer
    if reference is None:
        return None
    return Example(
        call_id=call.id,
        at=call.at,
        request=call.request,
        reference=reference,
        by="llm" if said is None else "people",
        sampled=call.sampled,
        llm_answer=llm_answer,
        refuted=call.answer if word is not None and word.verdict == "wrong" else None,
        episode=call.episode,
    )


def _refuted(call: CallRecord, audit: Audit | None, word: Feedback | None) -> Example | None:
    if word is None or word.verdict != "wrong":
        return None
    return Example(
        call_id=call.id,
        at=call.at,
        request=call.request,
        reference=Answer(),
        by="people",
        sampled=call.sampled,
        llm_answer=_by_llm(call, audit),
        refuted=call.answer,
        episode=call.episode,
    )


def _by_llm(call: CallRecord, audit: Audit | None) -> Answer | None:
    if audit is not None and (audit.kind == "audit" or call.answered_by == call.llm):
        return audit.reference
    given = call.answer
    if given is None or not given.complete or call.error:
        return None
    return given if call.answered_by == call.llm != "" else None


def _by_people(call: CallRecord, word: Feedback | None) -> Answer | None:
    if word is None or word.verdict == "wrong":
        return None
    return call.answer if word.verdict == "right" else Answer(text=word.answer)
