"""Certification: a trial on what the store holds, written back as card and certificate."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import uuid_utils
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from shoal.errors import ArtifactError, LearningError
from shoal.flywheel.augmenting import Ask, Augmenter
from shoal.flywheel.issuing import Grounds, issued
from shoal.flywheel.ladder import recipes_for
from shoal.flywheel.lessons import Lessons, curate, scrubbed
from shoal.flywheel.options import LearnOptions, LessonOptions
from shoal.flywheel.trial import (
    Candidate,
    LadderStep,
    Outcome,
    Prepared,
    TrainApart,
    attempt,
    prepare,
    training_part,
)
from shoal.flywheel.unfinished import Unfinished
from shoal.guarantees import PEOPLE, Certificate, Refusal, assumptions_of, delta_at, percent
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.specialists.kind import Recipe
from shoal.specialists.senses import Senses
from shoal.storage import CardRow, CertificateRow, Event, Example, Store
from shoal.tasks import Task, comparator_name


class Verdict(Struct, frozen=True):
    """What an attempt came to: a certificate, or the reason why not, in plain words.

    Stored with the attempt; ``examples`` is how many lessons it rested on, of which ``by_people``
    only those that people reviewed, ``alpha`` and ``confidence`` what was to be promised.
    ``comparator`` and ``validators`` are how answers were judged ("" and () of attempts that are
    older than these fields); of cheaper models, ``after`` is the card
    of the specialist behind which they were tried.
    """

    task: str
    examples: int
    reason: str = ""
    certificate: Certificate | None = None
    refusals: tuple[tuple[str, Refusal], ...] = ()
    alpha: float = 0.0
    confidence: float = 0.0
    per_label: bool = False
    ladder: tuple[LadderStep, ...] = ()
    by_people: bool = False
    comparator: str = ""
    validators: tuple[str, ...] = ()
    after: str = ""


class Examiner:
    """Certifies tasks of one store.

    ``senses`` builds the encoder when a recipe first needs it. ``label`` turns a model's name into
    what certificates call the reference ("gpt-4o-mini (recorded)").
    """

    def __init__(
        self,
        store: Store,
        options: LearnOptions,
        senses: Callable[[], Senses],
        label: Callable[[str], str] = str,
        privacy: PrivacyOptions | None = None,
        own: Mapping[str, LessonOptions] | None = None,
        ask: Ask | None = None,
    ) -> None:
        """``own`` are tasks, by name, that have ways of their own to be learned. ``ask`` reaches
        the LLM; None: nothing is made up."""
        self._store, self._options = store, options
        self._own = own or {}
        self._senses, self._label = senses, label
        self._privacy = privacy or PrivacyOptions()
        self.unfinished = Unfinished(store.options.path / "training")
        self.by_hand = Unfinished(store.options.path / "tuning", keeps_failed=True)
        self._augmenter = Augmenter(ask, options.augment, self._privacy)

    def lessons(
        self, task: Task, promise: PromiseOptions | None = None, *, by_hand: bool = False
    ) -> Lessons:
        """What can be learned from now: examples since the promise was last broken; those of a
        training that was broken off, if it can be resumed (``by_hand``: of one that ``train``
        began). With people as the reference that is to be promised, those judge that they
        reviewed."""
        unfinished = self.by_hand if by_hand else self.unfinished
        begun = unfinished.begun(task.id) if by_hand or self._options.fine_tune else None
        if begun is not None:
            lessons = self._lessons(task, promise, set(begun.calls))
            if begun.is_on(lessons):
                return lessons
            if not by_hand:  # who only looks must not take it from one that is under way
                unfinished.end(task.id)
        return self._lessons(task, promise)

    def _lessons(
        self, task: Task, promise: PromiseOptions | None, only: Set[str] | None = None
    ) -> Lessons:
        """``only`` of these calls, if any are named, instead of the latest."""
        at = time.time()
        own = self._own.get(task.name, LessonOptions())
        task = replace(task, contract=own.applied(task.contract))
        since = self._store.events.broken_at(task.id)
        reviewed = None
        if promise is not None and promise.by_people:
            queue = self._store.reviews.queue(task.id, promise.audit_rate, since)
            reviewed = queue.counts[-self._options.max_examples :]
        examples = self._examples(task, reviewed or (), only)
        if self._privacy.learns_less:
            kinds = self._privacy.scrubbed
            examples = (scrubbed(example, kinds) for example in examples)
        redrawn = self._store.events.redrawn_at(task.id)
        changed = self._store.events.changed_at(task.id)
        known = None if reviewed is None else frozenset(reviewed)
        lessons = curate(task, examples, since, redrawn, changed, known)
        return replace(lessons, at=at, monotone=own.monotone)

    def _examples(
        self, task: Task, reviewed: Sequence[str], only: Set[str] | None
    ) -> Iterator[Example]:
        """Those that people reviewed, however old, and the latest others; at most as many as are
        learned from at once."""
        known = frozenset(reviewed)
        latest = self._store.examples.of(task.id)
        others = (example for example in latest if example.call_id not in known)
        found = chain(self._store.examples.reviewed(reviewed), others)
        if not only:
            return islice(found, self._options.max_examples)
        return islice((example for example in found if example.call_id in only), len(only))

    def certify(self, lessons: Lessons, promise: PromiseOptions) -> Verdict:
        """Try to certify; spends from the task's error budget, whatever comes of it, unless the
        process ends meanwhile.

        Raises:
            LearningError: another process certified the task meanwhile.
            ArtifactError: the encoder's weights are missing or damaged.
        """
        if not self._options.fine_tune:
            return self._certify(lessons, promise)
        with self.unfinished.training(lessons) as kept:
            return self._certify(kept, promise)

    def train(
        self, lessons: Lessons, promise: PromiseOptions, recipe: Recipe, train_apart: TrainApart
    ) -> Verdict:
        """The same by one recipe that a person asked for, which keeps how far it came in
        ``lessons.state``.

        Raises:
            LearningError: nothing can be learned (then nothing is spent), or another process
                certified the task meanwhile.
            ArtifactError, MissingExtra, ConfigError: what it needs is missing or does not fit.
        """
        with self.by_hand.training(lessons) as kept:
            held_out = self._options.calibration == "held-out"
            ready = prepare(kept, recipe, held_out, self._senses, train_apart)
            return self._tried(kept, promise, (recipe,), lambda _: ready)

    def choose(
        self,
        lessons: Lessons,
        promise: PromiseOptions,
        made: Callable[[Lessons], Sequence[Prepared]],
    ) -> Verdict:
        """The same for candidates that ``made`` trains on the training part: the quickest that
        serves well is kept, and each spends its share of the attempt's budget.

        Raises: what ``train`` raises.
        """
        with self.by_hand.training(lessons) as kept:
            ready = {one.recipe: one for one in made(kept)}
            quickest = sorted(ready, key=lambda recipe: ready[recipe].answer_ms)
            return self._tried(kept, promise, quickest, ready.__getitem__)

    def _certify(self, lessons: Lessons, promise: PromiseOptions) -> Verdict:
        try:
            recipes = recipes_for(lessons.task, lessons.inputs, self._options.fine_tune)
        except LearningError as error:
            nth = len(self._store.attempts.list(lessons.task.id)) + 1
            return self._refuse(lessons, promise, nth, Outcome(None, ()), str(error))
        return self._tried(lessons, promise, recipes, partial(self._prepare, lessons))

    def _tried(
        self,
        lessons: Lessons,
        promise: PromiseOptions,
        recipes: Sequence[Recipe],
        prepared: Callable[[Recipe], Prepared],
    ) -> Verdict:
        task = lessons.task
        nth = len(self._store.attempts.list(task.id)) + 1
        delta = delta_at(nth, promise.delta)
        try:
            outcome = attempt(recipes, promise.alpha, delta, prepared, promise.per_label)
        except LearningError as error:
            return self._refuse(lessons, promise, nth, Outcome(None, ()), str(error))
        if outcome.candidate is None:
            return self._refuse(lessons, promise, nth, outcome, nearest_reason(outcome.refusals))
        return self._grant(lessons, promise, outcome, nth, delta)

    def _prepare(self, lessons: Lessons, recipe: Recipe) -> Prepared:
        if recipe.held_out and recipe.kind == "label" and self._augmenter.fits(lessons):
            made_up = self._augmenter.made_up(training_part(lessons, recipe))
            lessons = replace(lessons, made_up=made_up)
        held_out = self._options.calibration == "held-out"
        return prepare(lessons, recipe, held_out, self._senses)

    def _grant(
        self,
        lessons: Lessons,
        promise: PromiseOptions,
        outcome: Outcome,
        nth: int,
        delta: float,
    ) -> Verdict:
        candidate = outcome.candidate
        assert candidate is not None
        card = self._card(lessons, candidate, time.time())
        apart = candidate.recipe.held_out
        method: Literal["held-out", "cross-fitted"] = (
            "held-out" if apart else self._options.calibration
        )
        reference = PEOPLE if lessons.by_people else self._label(lessons.model)
        grounds = Grounds(promise, nth, delta, reference, method, self._options.lapse_days)
        certificate = replace(
            issued(lessons.task.name, card, candidate.selection, grounds),
            people=candidate.people,
            self_agreement=None if lessons.by_people else lessons.self_agreement(),
            by_people=lessons.by_people,
            assumptions=assumptions_of(method, reference, lessons.by_people),
            labels=candidate.labels,
            unread=candidate.unread,
            made_up=candidate.made_up,
            versions=candidate.versions,
            slices=candidate.calibration.slices(np.array(candidate.accepted), promise.delta),
        )
        verdict = Verdict(
            lessons.task.id,
            lessons.size,
            certificate=certificate,
            by_people=lessons.by_people,
            alpha=promise.alpha,
            confidence=promise.confidence,
            per_label=promise.per_label,
            ladder=outcome.ladder,
            comparator=certificate.comparator,
        )
        self._write(verdict, lessons, nth, Granted(card, candidate))
        return verdict

    def _card(self, lessons: Lessons, candidate: Candidate, now: float) -> Card:
        home = self._store.options.path  # not /tmp, which may be memory: a model may have gigabytes
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".saving-", dir=home) as folder:
                candidate.specialist.save(Path(folder))
                artifact = self._store.artifacts.put(Path(folder))
        except OSError as error:
            raise ArtifactError(f"{home}: cannot be written: {error.strerror}") from None
        return Card(
            id=str(uuid_utils.uuid7()),
            task=lessons.task.id,
            kind=candidate.specialist.kind,
            recipe=candidate.recipe.name,
            contract=lessons.task.contract,
            llm=lessons.model,
            encoder=self._senses().digest if candidate.recipe.encoder else "",
            artifact=artifact,
            examples=len(lessons.lessons),
            agreement=candidate.agreement,
            data_digest=lessons.digest,
            trained_at=now,
            cpu_seconds=candidate.cpu_seconds,
            rates=lessons.rates,
            made_up=candidate.made_up,
        )

    def _refuse(
        self, lessons: Lessons, promise: PromiseOptions, nth: int, outcome: Outcome, reason: str
    ) -> Verdict:
        agreement = None if lessons.by_people else lessons.self_agreement()
        if lessons.by_people:
            more = f"more reviewed calls (shoal review {lessons.task.name})"
            reason = reason.replace("more examples", more, 1)
        if agreement is not None and agreement < 1:
            reason += f"; the LLM agrees with itself only {percent(agreement)} of the time"
        verdict = Verdict(
            lessons.task.id,
            lessons.size,
            reason,
            by_people=lessons.by_people,
            refusals=outcome.refusals,
            alpha=promise.alpha,
            confidence=promise.confidence,
            per_label=promise.per_label,
            ladder=outcome.ladder,
            comparator=comparator_name(lessons.task.contract),
        )
        self._write(verdict, lessons, nth)
        return verdict

    def _write(
        self, verdict: Verdict, lessons: Lessons, nth: int, granted: "Granted | None" = None
    ) -> None:
        card = granted.card if granted else None

        def write_evidence(conn: Connection) -> None:
            self._check_still_true(lessons)
            if granted and verdict.certificate:
                tested = granted.candidate
                self._store.evidence.insert(
                    conn, verdict.certificate.id, tested.calibration, tested.mistakes
                )

        file_verdict(self._store, verdict, nth, card, write_evidence)

    def _check_still_true(self, lessons: Lessons) -> None:
        task, events = lessons.task.id, self._store.events
        if max(events.broken_at(task), events.redrawn_at(task)) > lessons.at > 0:
            raise LearningError(
                "its promise was broken, or the task was redrawn, while it was being certified: it "
                "is tried again on what comes after that"
            )


class Granted(Struct, frozen=True):
    """What a certificate was granted to."""

    card: Card
    candidate: Candidate


def file_verdict(
    store: Store,
    verdict: Verdict,
    nth: int,
    card: Card | None = None,
    check: Callable[[Connection], None] = lambda conn: None,
) -> None:
    """Write the ``nth`` attempt, card, certificate and event, all or none.

    Raises:
        LearningError: another process certified the task meanwhile, or ``check`` says so, which
            may write in the same transaction.
    """
    certificate = verdict.certificate
    now = time.time()
    event = Event(
        at=now,
        task=verdict.task,
        kind="certified" if certificate else "refused",
        by="learner",
        reason=verdict.reason,
        detail=msgspec.json.encode({"certificate": certificate.id if certificate else ""}),
    )
    with store.database.transaction() as conn:
        check(conn)
        outcome = msgspec.json.encode(verdict)
        if store.attempts.insert(conn, verdict.task, now, outcome) != nth:
            raise LearningError(
                "another certification of this task ended meanwhile, so this one's error "
                "budget was spent by that one; look at its result, or try again"
            )
        if certificate is not None and card is not None:
            store.cards.insert(conn, _card_row(card))
            row = _certificate_row(certificate, card)
            store.certificates.insert(conn, row, certificate.served_labels)
        store.events.insert(conn, event)


def nearest_reason(refusals: Sequence[tuple[str, Refusal]]) -> str:
    """The reason of the recipe that came nearest."""
    nearest = min(
        (refusal for _, refusal in refusals),
        key=lambda r: (r.examples_needed is None, r.examples_needed or 0, r.errors),
    )
    return nearest.reason


def _card_row(card: Card) -> CardRow:
    return CardRow(
        id=card.id, task=card.task, spec=msgspec.json.encode(card), created_at=card.trained_at
    )


def _certificate_row(certificate: Certificate, card: Card) -> CertificateRow:
    return CertificateRow(
        id=certificate.id,
        task=card.task,
        card=card.id,
        alpha=certificate.alpha,
        spec=certificate.to_json(),
        issued_at=certificate.issued_at,
    )
