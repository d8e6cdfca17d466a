"""Known answers from feedback: what answers from a collection cited, where a person called the
answer right.

A receipt names the cited passages by the digests of their words. So they are known again when a
document is moved or taken in anew, and are gone when their words are: such an answer teaches
nothing any more. What a person called wrong says nothing of which passage would have been right,
and is left out.

What it does not know: passages that would have been as right, or better, and were not cited.
"""

import re
from collections.abc import Iterator
from contextlib import suppress

from msgspec import Struct
from sqlalchemy import select

from shoal.assembly.asking import PREFIX, questions
from shoal.assembly.record import receipt_of
from shoal.errors import MalformedRequest, NotFound
from shoal.retrieval.collection import Collection
from shoal.retrieval.known_answers import KnownAnswer, cited, plain
from shoal.retrieval.tuning import passages_of
from shoal.routing.privacy import PrivacyOptions, scrub
from shoal.storage import CallRecord, Feedback, Store
from shoal.storage.calls import numbered_calls
from shoal.storage.database import in_slices
from shoal.storage.feedback import newest_feedback
from shoal.storage.schema import calls, feedback

MOST = 5_000
"""Calls that are looked at, the newest."""

_MARK = re.compile(r"\s*\[\d+\]")
_SOURCE = re.compile(r"\[\d+\] .*")  # a line that tells where a citation is from


class Approved(Struct, frozen=True):
    """What people called right: ``known`` answers with the numbers of their right passages, from so
    many ``calls``. Of those, ``uncited`` cited nothing, as one does that was recorded before
    citations were kept, and ``gone`` nothing that is still in the collection."""

    known: list[tuple[KnownAnswer, frozenset[int]]]
    calls: int
    uncited: int
    gone: int


def approved(
    store: Store,
    collection: Collection,
    privacy: PrivacyOptions = PrivacyOptions(),  # noqa: B008
) -> Approved:
    """What feedback says of a collection, the oldest first; questions as what is learned from may
    hold them.

    Raises:
        StoreError: one of the two cannot be read.
    """
    passages, known, counts = passages_of(collection), list[_Known](), [0, 0, 0]
    for call in _right_calls(store, collection.name):
        counts[0] += 1
        digests = receipt_of(call).cited
        if not digests:
            counts[1] += 1
            continue
        there = collection.shelf.with_words(digests)
        with suppress(MalformedRequest):  # it was served, so it ends with a question, unless cut
            _, searched = questions(call.request)
            if privacy.learns_less:
                searched = scrub(searched, privacy.scrubbed)
            for one in cited(searched, there):
                right = {passage.number for passage in there if passage.text == one.passage}
                with suppress(NotFound):  # too many are like it for a search by its words
                    right |= passages.right(one)
                known.append((one, frozenset(right)))
        counts[2] += not there
    return Approved(known, *counts)


_Known = tuple[KnownAnswer, frozenset[int]]


def _right_calls(store: Store, name: str) -> Iterator[CallRecord]:
    """The calls to a collection whose answer the newest word calls right, in the order of time."""
    judged = select(feedback.c.call_id).where(feedback.c.verdict != "wrong")
    query = select(calls.c.id).where(calls.c.id.in_(judged), calls.c.model == f"{PREFIX}{name}")
    with store.database.read() as conn:
        ids = list(conn.execute(query.order_by(calls.c.number.desc()).limit(MOST)).scalars())
    for some in in_slices(reversed(ids)):
        with store.database.read() as conn:
            query_of = select(calls).where(calls.c.id.in_(some)).order_by(calls.c.number)
            found, words = numbered_calls(conn, query_of), newest_feedback(conn, some)
        for call in found.values():
            if _is_right(call, words.get(call.id)):
                yield call


def _is_right(call: CallRecord, word: Feedback | None) -> bool:
    """A person said so, or wrote what it says."""
    if word is None or call.answer is None or word.verdict == "wrong":
        return False
    return word.verdict == "right" or _said(word.answer) == _said(call.answer.text)


def _said(text: str) -> str:
    """An answer without its citations and where they are from."""
    lines = [line for line in text.splitlines() if not _SOURCE.fullmatch(line.strip())]
    return plain(_MARK.sub("", "\n".join(lines)))
