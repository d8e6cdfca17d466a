"""Promotion and demotion: the one place, besides audits, that changes where a task stands."""

import time
from typing import Literal

import msgspec
from msgspec.structs import replace
from sqlalchemy import Connection

from shoal.errors import LearningError
from shoal.guarantees import Certificate
from shoal.routing.filing import agreement_id
from shoal.storage import CertificateRow, Event, Stage, Standing, Store
from shoal.storage.standings import standing_of


class Anything:
    """In place of a standing: whatever stands now."""


def promote(
    store: Store,
    task: str,
    to: Literal["shadow", "serve"],
    by: str,
    reason: str,
    seen: Standing | type[Anything] | None = Anything,
) -> Standing:
    """Let the task's newest certificate shadow or serve.

    ``seen`` is the standing that the decision rests on: if another stands by now, nothing is done.
    All is read and written under one lock, so that no demotion is overwritten.

    Raises:
        LearningError: there is no certificate, it has lapsed, audits broke it, or ``seen`` is past.
    """
    with store.database.transaction() as conn:
        _check_seen(conn, task, seen)
        return _stand(store, conn, usable_certificate(store, task), to, by, reason)


def serving_card(store: Store, task: str) -> str:
    """The card of the specialist that serves the task, "" if none does."""
    standing = store.standings.get(task)
    return standing.card if standing is not None and standing.stage == "serve" else ""


def demote(
    store: Store,
    task: str,
    by: str,
    reason: str,
    seen: Standing | type[Anything] | None = Anything,
) -> None:
    """Take the task's specialist back to observing; the next call goes to the LLM.

    Raises:
        LearningError: ``seen`` is given, and another stands by now.
    """
    now = time.time()
    event = Event(at=now, task=task, kind="demoted", by=by, reason=reason)
    with store.database.transaction() as conn:
        _check_seen(conn, task, seen)
        store.standings.set(conn, Standing(task=task, stage="observe", since=now), event)


def usable_certificate(store: Store, task: str) -> CertificateRow:
    """The newest certificate of a task, or of its agreement, that may still be served on.

    Raises:
        LearningError: there is none, and why.
    """
    certificates = store.certificates.list(task)
    if not certificates:
        raise LearningError("it has no certificate yet: run `shoal certify TASK`")
    newest = certificates[0]
    broken, redrawn, lapsed = _turned(store, task)
    if newest.issued_at <= broken:
        raise LearningError(
            "audits broke its certificate; it is certified again when enough new examples are in"
        )
    if newest.issued_at <= redrawn:
        raise LearningError(
            "it was split, merged or widened since it was certified, so its calls are others now: "
            "run `shoal certify TASK`"
        )
    if lapsed is not None and newest.issued_at <= lapsed.at:
        raise LearningError(f"{lapsed.reason}; it is certified again on what came since")
    certificate = Certificate.from_json(newest.spec)
    if task != _task_of(task) and certificate.after != serving_card(store, _task_of(task)):
        raise LearningError(
            "its cheaper models were certified on other calls than come to them now, for another "
            "specialist, or none, comes before them: they are tried again"
        )
    if certificate.lapsed(time.time()):
        raise LearningError("its certificate has lapsed: run `shoal certify TASK`")
    if store.audits.watch(newest.id).broken(1 - certificate.confidence):
        raise LearningError(
            "audits broke its certificate; it is certified again when enough new examples are in"
        )
    return newest


def lapse(store: Store, standing: Standing, reason: str, since: float) -> None:
    """End what stands: it may not be served on again. ``since`` is when the LLM's answers became
    others (unix seconds): calls until then no longer judge.

    Raises:
        LearningError: another stands by now.
    """
    now = time.time()
    detail = {"certificate": standing.certificate, "from": standing.stage, "since": since}
    event = Event(
        at=now,
        task=standing.task,
        kind="lapsed",
        by="learner",
        reason=reason,
        detail=msgspec.json.encode(detail),
    )
    with store.database.transaction() as conn:
        _check_seen(conn, standing.task, standing)
        observing = Standing(task=standing.task, stage="observe", since=now)
        store.standings.set(conn, observing, event)


def _turned(store: Store, rung: str) -> tuple[float, float, Event | None]:
    """When audits last broke the promise, when the task was redrawn, and the last lapse. What ends
    a specialist's evidence ends that of its agreement too, for the traffic is one."""
    task = _task_of(rung)
    broken = max(store.events.broken_at(rung), store.events.broken_at(task))
    return broken, store.events.redrawn_at(task), store.events.lapsed(task)


def _task_of(rung: str) -> str:
    """The task's id, of a task or of its agreement."""
    return rung.partition("/")[0]


def redraw(store: Store, conn: Connection, event: Event) -> None:
    """Write the event, one of those that redraw a task, and take the task back to observing if
    anything stands for it, and so its agreement."""
    standing = standing_of(conn, event.task)
    if standing is None or standing.stage == "observe":
        store.events.insert(conn, event)
    else:
        _back_to_observing(store, conn, standing, event)
    agreement = standing_of(conn, agreement_id(event.task))
    if agreement is not None and agreement.stage != "observe":
        _back_to_observing(store, conn, agreement, replace(event, task=agreement.task))


def _back_to_observing(store: Store, conn: Connection, standing: Standing, event: Event) -> None:
    observing = Standing(task=standing.task, stage="observe", since=event.at)
    detail = msgspec.json.encode({"from": standing.stage, "to": "observe"})
    store.standings.set(conn, observing, replace(event, detail=detail))


def _check_seen(conn: Connection, task: str, seen: Standing | type[Anything] | None) -> None:
    if seen is not Anything and standing_of(conn, task) != seen:
        raise LearningError("its standing was changed meanwhile")


def _stand(
    store: Store,
    conn: Connection,
    certificate: CertificateRow,
    to: Stage,
    by: str,
    reason: str,
) -> Standing:
    now = time.time()
    before = standing_of(conn, certificate.task)
    standing = Standing(
        task=certificate.task,
        stage=to,
        card=certificate.card,
        certificate=certificate.id,
        since=now,
    )
    detail = {
        "from": before.stage if before else "observe",
        "to": to,
        "certificate": certificate.id,
    }
    event = Event(
        at=now,
        task=certificate.task,
        kind="promoted",
        by=by,
        reason=reason,
        detail=msgspec.json.encode(detail),
    )
    store.standings.set(conn, standing, event)
    return standing
