"""What people say of served calls that were drawn for review: it is the audit of a certificate
whose reference they are.

Words move the e-process in the order in which the calls were served, whatever the order in which
people say them: a word on a later call waits until those before it have theirs. Else people who say
first what is wrong would make any specialist look bad.

A word is stored first, by itself. Then answers are compared outside of any transaction, for a
task's own comparator may take long, and audits are recorded a few at a time, so that no other
writer waits for them; whichever crosses demotes in its transaction. Several that compare at once
find the same calls in the same order, and a call is audited once: by its word at that time.
"""

import logging
import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, select

from shoal.assembly.recorder import WRITE_S
from shoal.chat import Answer
from shoal.errors import ConfigError, StoreError
from shoal.guarantees import Certificate
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.storage import Asking, Audit, CallRecord, Feedback, Store
from shoal.storage.calls import read_calls
from shoal.storage.database import in_slices
from shoal.storage.feedback import newest_feedback
from shoal.storage.reviews import drawn_calls, last_audited
from shoal.storage.schema import calls
from shoal.tasks import same
from shoal.tasks.answer_label import label_of
from shoal.tasks.contract import read

log = logging.getLogger(__name__)

_PREFIX = "specialist/"  # of the names of rungs that specialists are
_AT_ONCE = 20  # audits in one transaction, some ms


class _Receipt(Struct):
    """What is read of a call's receipt."""

    certificate: str = ""


class _Watched(Struct, frozen=True):
    """What serves a task on people's word."""

    card: Card
    certificate: Certificate


def take_word(
    store: Store, word: Feedback, promised: Callable[[str], PromiseOptions], key: str | None = None
) -> bool:
    """Store a person's word, and audit by it whatever it completes; whether that demoted the task.
    ``promised`` tells what is promised of a task, by name; ``key`` is as for
    ``FeedbackLog.insert``. Waits for the store: not for event loops.

    Raises:
        NotFound: no such call.
        StoreError: the store cannot be written now; the word is kept until it can.
    """
    stored = store.writer.submit(
        lambda conn: store.feedback.insert(conn, word, key), urgent=True, size=len(word.answer)
    )
    try:
        task = stored.result(WRITE_S)
        return bool(task) and _audit_words(store, task, promised)
    except TimeoutError:
        raise StoreError(
            "the store cannot be written now; this is kept until it can, unless Shoal stops"
        ) from None


def _audit_words(store: Store, task: str, promised: Callable[[str], PromiseOptions]) -> bool:
    watched = _watched(store, task)
    if watched is None:
        return False
    certificate = watched.certificate
    rate = promised(store.tasks.get(task).name).audit_rate
    asking = Asking(rate, certificate.issued_at)
    while True:
        try:
            audits = [_audit(*said, watched) for said in _completed(store, task, watched, asking)]
        except ConfigError as error:  # the word is kept; it audits once there is a comparator
            log.warning("task %s: what people say audits nothing: %s", task, error)
            return False

        def record(conn: Connection, audits: Sequence[Audit] = tuple(audits)) -> bool:
            return any(store.audits.record(conn, one, 1 - certificate.confidence) for one in audits)

        if store.writer.submit(record, urgent=True).result(WRITE_S):
            return True
        if len(audits) < _AT_ONCE:
            return False


def _completed(
    store: Store, task: str, watched: _Watched, asking: Asking
) -> list[tuple[CallRecord, Feedback]]:
    """The next calls with their words, up to the first that waits for one."""
    found: list[tuple[CallRecord, Feedback]] = []
    secret = store.database.secret()
    with store.database.read() as conn:
        mark = last_audited(conn, watched.certificate.id)
        drawn = drawn_calls(conn, task, asking, secret, mark, _PREFIX)
        for ids in in_slices(drawn, _AT_ONCE):
            words = newest_feedback(conn, ids)
            query = select(calls).where(calls.c.id.in_(ids)).order_by(calls.c.number)
            for call in read_calls(conn, query):
                receipt = msgspec.json.decode(call.receipt, type=_Receipt)
                if receipt.certificate != watched.certificate.id:
                    continue
                if call.id not in words or len(found) == _AT_ONCE:
                    return found
                found.append((call, words[call.id]))
    return found


def _watched(store: Store, task: str) -> _Watched | None:
    standing = store.standings.get(task)
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
