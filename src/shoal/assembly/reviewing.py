"""What people say of served calls that were drawn for review: it is the audit of a certificate
whose reference they are.

Words move the e-process in the order in which the calls were served, whatever the order in which
people say them: a word on a later call waits until those before it have theirs. Else people who say
first what is wrong would make any specialist look bad. That happens in the transaction that stores
the word, and so does the demotion.
"""

import time
from collections.abc import Callable

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from shoal.chat import Answer
from shoal.guarantees import Certificate, draw
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.storage import Audit, CallRecord, Feedback, Store
from shoal.storage.feedback import newest_feedback
from shoal.storage.reviews import asked_since, last_audited, next_served
from shoal.storage.standings import standing_of
from shoal.tasks import same
from shoal.tasks.answer_label import label_of
from shoal.tasks.contract import read

_PREFIX = "specialist/"  # of the names of rungs that specialists are


class _Receipt(Struct):
    """What is read of a call's receipt."""

    certificate: str = ""


class _Watched(Struct, frozen=True):
    """What serves a task on people's word."""

    card: Card
    certificate: Certificate


def take_word(
    store: Store,
    conn: Connection,
    word: Feedback,
    promised: Callable[[str], PromiseOptions],
    key: str | None = None,
) -> bool:
    """Store a person's word, and audit by it whatever it completes; whether that demoted the task.
    ``promised`` tells what is promised of a task, by name; ``key`` is as for
    ``FeedbackLog.insert``.

    Raises:
        NotFound: no such call.
    """
    task = store.feedback.insert(conn, word, key)
    watched = _watched(store, conn, task)
    if watched is None:
        return False
    certificate, demoted = watched.certificate, False
    mark, secret = last_audited(conn, certificate.id), store.database.secret()
    rate = promised(store.tasks.get(task).name).audit_rate
    since = asked_since(conn, task, certificate.issued_at)
    while not demoted:
        found = next_served(conn, task, _PREFIX, since, mark)
        if found is None:
            return False
        mark, call = found
        if msgspec.json.decode(call.receipt, type=_Receipt).certificate != certificate.id:
            continue
        if not draw(call.id, rate, secret):  # it was, at a higher rate, and is asked no more
            continue
        said = newest_feedback(conn, [call.id]).get(call.id)
        if said is None:
            return False
        audit = _audit(call, said, watched)
        demoted = store.audits.record(conn, audit, 1 - certificate.confidence)
    return True


def _watched(store: Store, conn: Connection, task: str) -> _Watched | None:
    standing = standing_of(conn, task) if task else None
    if standing is None or standing.stage != "serve":
        return None
    certificate = Certificate.from_json(store.certificates.get(standing.certificate).spec)
    if not certificate.by_people:
        return None
    card = msgspec.json.decode(store.cards.get(standing.card).spec, type=Card)
    return _Watched(card, certificate)


def _audit(call: CallRecord, word: Feedback, watched: _Watched) -> Audit:
    contract, given = watched.card.contract, call.answer or Answer()
    right = given if word.verdict == "right" else Answer(text=word.answer)
    agrees = word.verdict != "wrong" and same(contract, given, right)
    label = label_of(contract, read(contract, given)) if watched.certificate.labels else None
    return Audit(
        call_id=call.id,
        at=time.time(),
        task=call.task,
        certificate=watched.certificate.id,
        kind="review",
        agrees=agrees,
        reference=replace(right, body=b""),
        label=label,
    )
