"""Newcomers: answers of the LLM that no example of a certificate had, and the end of it for them.

Looked at are the calls of the unbiased sample since the certificate was issued that the LLM
answered, or was asked about for an audit: see ``guarantees.strangers`` for the rule. A newcomer is
an answer that does not keep the contract that the specialist learned (a label it does not know),
or one by a version of the LLM, as the provider names it, that answered none of the examples.
"""

import time

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer
from shoal.flywheel.promotion import lapse
from shoal.guarantees import Certificate, Strangers
from shoal.storage import Standing, Store
from shoal.tasks.contract import Contract, read

_SETTLED_S = 60.0  # after so long an audit of a call is there, or never comes


class Count(Struct, frozen=True):
    """The newcomers to one certificate so far; ``labels`` and ``versions`` by kind, ``latest`` of
    each as told."""

    strangers: Strangers
    labels: int = 0
    versions: int = 0
    latest_label: str = ""
    latest_version: str = ""


class _Learned(Struct):
    """Of a card: the contract that the specialist learned."""

    contract: Contract | None = None


class Newcomers:
    """Counts, call after call, what is new since a certificate was issued."""

    def __init__(self, store: Store, settled_s: float = _SETTLED_S) -> None:
        self._store, self._settled_s = store, settled_s

    def look(self, standing: Standing, certificate: Certificate) -> bool:
        """Count what came since the last look; whether the certificate lapsed for it.

        Raises:
            LearningError: the standing was changed meanwhile.
            StoreError: the store cannot be read or written.
        """
        delta = 1 - certificate.confidence
        kept = self._store.newcomers.get(standing.certificate)
        if kept is None:
            start = Strangers.start(certificate.alpha, delta, certificate.unread, certificate.n)
            mark, count = 0, Count(start)
        else:
            mark, count = kept.mark, msgspec.json.decode(kept.state, type=Count)
        spec = self._store.cards.get(standing.card).spec
        contract = msgspec.json.decode(spec, type=_Learned).contract
        if contract is None:
            return False
        until = time.time() - self._settled_s
        since = certificate.issued_at
        examples, reached = self._store.examples.after(standing.task, mark, since, until)
        for example in examples:
            if example.sampled and example.llm_answer is not None:
                count = _with(count, example.llm_answer, example.at, contract, certificate)
        if reached > mark:
            self._store.newcomers.put(standing.certificate, reached, msgspec.json.encode(count))
        if not count.strangers.too_many(delta):
            return False
        lapse(self._store, standing, _reason(count), count.strangers.first)
        return True


def _with(
    count: Count, answer: Answer, at: float, contract: Contract, certificate: Certificate
) -> Count:
    known = certificate.versions
    label = read(contract, answer) is None
    version = bool(known and answer.model) and answer.model not in known
    return replace(
        count,
        strangers=count.strangers.seen(label or version, at),
        labels=count.labels + label,
        versions=count.versions + version,
        latest_label=answer.text[:80] if label else count.latest_label,
        latest_version=answer.model if version else count.latest_version,
    )


def _reason(count: Count) -> str:
    process = count.strangers.process
    share = f"{process.errors} of {process.n} calls since, clearly more than {process.alpha:.1%}"
    if count.versions > count.labels:
        return (
            "the certificate has lapsed: the LLM is another version now, "
            f"{count.latest_version!r}, which answered none of its examples ({share})"
        )
    return (
        f"the certificate has lapsed: the LLM gives answers that the specialist does not know, "
        f"such as {count.latest_label!r} ({share})"
    )
