"""The learner: find tasks, certify those that are ripe, watch over all; turn after turn."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from shoal.encoder import Encoder
from shoal.errors import ArtifactError, LearningError, ShoalError
from shoal.flywheel.agreeing import AgreementExaminer
from shoal.flywheel.augmenting import Ask
from shoal.flywheel.certification import Examiner, Verdict
from shoal.flywheel.finding import Finder, Found, known_tasks, revise
from shoal.flywheel.ladder import effort, why_not
from shoal.flywheel.options import LearnOptions, LessonOptions
from shoal.flywheel.plan_learner import AgentPlans, PlanLearner
from shoal.flywheel.promotion import promote, serving_card
from shoal.flywheel.reviewing import asking_of, review_needs, too_few_reviews
from shoal.flywheel.watch import Watch
from shoal.reasoning.options import ReasoningOptions
from shoal.routing.agreement import may_agree
from shoal.routing.cascade_options import CascadeOptions
from shoal.routing.filing import agreement_id
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.specialists.senses import Senses
from shoal.storage import Asking, Ground, Store, Volume
from shoal.tasks import Task, comparator_name
from shoal.training import recipes

log = logging.getLogger(__name__)

_EXPIRE_S = 600.0
_RENEW_AFTER = 0.9  # of a certificate's time
_COUNT_S = 60.0
_GROWN = 1.2  # times as many calls are worth another look


class Learner:
    """One learner over one store; run no more than one.

    ``promises`` by task name, ``default`` for the others. ``label`` names references in
    certificates. ``agents`` have stored plans of theirs learned.
    """

    def __init__(
        self,
        store: Store,
        options: LearnOptions,
        promises: Mapping[str, PromiseOptions],
        default: PromiseOptions,
        label: Callable[[str], str] = str,
        encoder: Encoder | None = None,
        privacy: PrivacyOptions | None = None,
        cascade: CascadeOptions | None = None,
        own: Mapping[str, LessonOptions] | None = None,
        ask: Ask | None = None,
        agents: Sequence[AgentPlans] = (),
        reasoning: ReasoningOptions | None = None,
    ) -> None:
        self._store, self._options = store, options
        self._promises, self._default = promises, default
        self._senses = Senses(encoder) if encoder else None
        self.examiner = Examiner(store, options, self.senses, label, privacy, own, ask)
        self.cascade = cascade or CascadeOptions()
        self._own = own or {}
        self.agreement = AgreementExaminer(
            store, options, self.cascade.models, self._senses_if_any, label, privacy, own, reasoning
        )
        self.plans = PlanLearner(store, options, agents, self.senses, label, privacy)
        self.watch = Watch(store, options, self.plans.rungs)
        self._finder = Finder(store, options.min_calls)
        self._counted: dict[str, tuple[int, float]] = {}  # by task id: its calls then, and when
        self._failed: dict[str, int] = {}  # by task id: its calls when it could not be tended
        self._expired_at = -_EXPIRE_S  # of time.monotonic
        self._watching = False
        if options.fine_tune and (why := recipes.missing()):
            log.warning("fine_tune = true does nothing yet: %s", why)

    def senses(self) -> Senses:
        """The encoder's senses; it is built on the first use.

        Raises:
            ArtifactError: there are no weights.
        """
        if self._senses is None:
            self._senses = Senses(Encoder(threads=2))
        return self._senses

    def _senses_if_any(self) -> Senses | None:
        try:
            return self.senses()
        except ArtifactError:
            return None

    def run(self, stop: threading.Event) -> None:
        """Turn after turn until told to stop, watching meanwhile; a turn that fails is logged and
        tried again."""
        watching = threading.Thread(target=self.watch.run, args=(stop,), name="shoal-watch")
        watching.start()
        self._watching = True
        try:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    self.turn()
                except ShoalError as error:
                    log.error("this turn failed, the next is tried: %s", error)
                stop.wait(max(0.1, self._options.every_s - (time.monotonic() - began)))
        finally:  # whatever ended this, no watch is left alone to look alive
            stop.set()
            watching.join()

    def turn(self) -> Found:
        """One turn: find, certify what is ripe, watch, expire.

        Raises:
            StoreError: the store cannot be read or written.
        """
        found = self._finder.look()
        volume = self._store.calls.volumes()
        for task in sorted(known_tasks(self._store), key=effort):
            if not task.ignored and task.id in volume and self._due(task, volume[task.id]):
                self._tend(task, volume[task.id])
        self.plans.turn()
        if not self._watching:
            self.watch.turn()
        if time.monotonic() - self._expired_at > _EXPIRE_S:
            self._expired_at = time.monotonic()
            self._store.expire(time.time(), self._asked())
            tuned = self._store.tasks.list() if self._options.fine_tune else ()
            self.examiner.unfinished.keep_only([task.id for task in tuned])
        return found

    def _asked(self) -> dict[str, Asking]:
        return {
            task.id: asking_of(self._store, task.id, promise)
            for task in known_tasks(self._store)
            if (promise := self.promise(task)).by_people
        }

    def promise(self, task: Task) -> PromiseOptions:
        """What is to be promised of each rung of a task: with models that may agree there are two,
        and the error budget is halved. Nobody compares what models agree on with people."""
        promise = self._promises.get(task.name, self._default)
        two = self.cascade.models and may_agree(promise, task.contract)
        return promise.halved if two else promise

    def certify(self, task: Task) -> Verdict:
        """Try to certify now, ripe or not.

        Raises:
            LearningError: no specialist can learn it, there are no examples, or too few that people
                reviewed, where they are the reference; nothing was spent.
        """
        promise = self.promise(task)
        lessons = self.examiner.lessons(task, promise)
        if reason := why_not(task, lessons.inputs):
            raise LearningError(f"task {task.name}: {reason}")
        if not lessons.lessons:
            raise LearningError(f"task {task.name} has no examples: no call of it has a reference")
        if lessons.by_people:
            nth = self.next_attempt(task)
            needs = review_needs(task, promise, self._options, nth, lessons.inputs)
            if few := too_few_reviews(lessons.size, needs, task.name):
                raise LearningError(f"task {task.name}: {few}")
        return self.examiner.certify(lessons, promise)

    def next_attempt(self, task: Task) -> int:
        """The number of the next attempt to certify a task, from 1."""
        return len(self._store.attempts.list(task.id)) + 1

    def _due(self, task: Task, volume: Volume) -> bool:
        """Whether it may pay to count the task's lessons again, which means reading them all."""
        if volume.calls < _GROWN * self._failed.get(task.id, 0):
            return False  # training on the same would come to the same, and may cost
        calls, at = self._counted.get(task.id, (0, 0.0))
        grown = volume.calls >= max(self._options.min_examples, _GROWN * calls)
        waited = time.monotonic() - at > _COUNT_S and volume.calls >= self._options.min_examples
        return grown or waited

    def _tend(self, task: Task, volume: Volume) -> None:
        try:
            since = self._store.events.broken_at(task.id)
            revised = revise(self._store, task, since)
            self._certify_if_ripe(revised, volume)
            if self.cascade.models and may_agree(self.promise(revised), revised.contract):
                self._certify_agreement_if_ripe(revised)
        except LearningError as error:
            log.info("task %s: %s", task.name, error)
        except ShoalError as error:  # as of a store that cannot be read now: soon tried again
            log.error("task %s could not be tended: %s", task.name, error)
        except Exception:  # whatever one task's data does to training, the others go on
            log.exception("task %s could not be tended; it is tried again on more", task.name)
            self._failed[task.id] = volume.calls

    def _certify_if_ripe(self, task: Task, volume: Volume) -> None:
        self._counted[task.id] = (volume.calls, time.monotonic())
        promise = self.promise(task)
        lessons = self.examiner.lessons(task, promise)
        few = len(lessons.lessons) < min(self._options.min_examples, self._options.max_examples)
        if few or lessons.size < self._wanted(task) or why_not(task, lessons.inputs):
            return
        verdict = self.examiner.certify(lessons, promise)
        log.info("task %s: %s", task.name, verdict.reason or "certified")
        if verdict.certificate is not None:
            self._renew(task.id)

    def _wanted(self, task: Task) -> float:
        """Examples wanted before the next attempt."""
        stale = self._stale_before(task, task.id)
        return self._next(task, task.id, stale, self._options.max_examples)

    def _next(self, task: Task, rung: str, stale: float, most: int) -> float:
        """Examples wanted before the next attempt at a rung, of which ``most`` are ever read;
        attempts from before ``stale`` (unix seconds) count no more."""
        attempts = self._store.attempts.list(rung)
        promise = self.promise(task)
        first, fewest = min(self._options.min_examples, most), 0
        if promise.by_people:  # an attempt that cannot succeed is not worth its share of delta
            needs = review_needs(task, promise, self._options, len(attempts) + 1)
            first, fewest = max(needs.fewest, min(needs.wanted, most)), needs.fewest
        if not attempts or attempts[-1].at <= stale:
            return first
        last = msgspec.json.decode(attempts[-1].outcome, type=Verdict)
        wanted_then = last.alpha, last.confidence, last.per_label, last.by_people
        wanted_now = promise.alpha, promise.confidence, promise.per_label, promise.by_people
        if wanted_then != wanted_now:
            return first
        if self._judged_otherwise(task, rung, last):
            return first
        wanted = last.examples * self._options.growth
        if last.examples < most:
            return max(fewest, min(wanted, most))
        return wanted  # more than are ever read: it waits until the certificate has aged

    def _judged_otherwise(self, task: Task, rung: str, last: Verdict) -> bool:
        """Whether answers are compared or checked in another way than at the last attempt."""
        own = self._own.get(task.name, LessonOptions())
        if last.comparator not in ("", comparator_name(own.applied(task.contract))):
            return True
        if rung == task.id:
            return False
        passed_on = serving_card(self._store, task.id)  # by another, other calls were
        return (last.validators, last.after) != (own.validators, passed_on)

    def _stale_before(self, task: Task, rung: str) -> float:
        """Attempts from before this moment count no more: since then the promise was broken or a
        person redrew the task, or a certificate as old has nine tenths of its time behind it."""
        aged = time.time() - _RENEW_AFTER * self._options.lapse_days * 86_400
        changed = max(self._store.events.redrawn_at(task.id), self._store.events.lapsed_at(task.id))
        return max(aged, self._store.events.broken_at(rung), changed)

    def _certify_agreement_if_ripe(self, task: Task) -> None:
        rung = agreement_id(task.id)
        after = serving_card(self._store, task.id)
        counts = self._store.tries.counts(Ground.now(self._store.events, task.id, rung, after))
        tried = min(counts.get(name, 0) for name in self.cascade.models)
        stale = self._stale_before(task, rung)
        if tried < self._next(task, rung, stale, self.cascade.tries):
            return
        hearing = self.agreement.hearing(task)
        if len(hearing.heard) < self._next(task, rung, stale, self.cascade.tries):
            return
        verdict = self.agreement.certify(task, hearing, self.promise(task))
        log.info("agreement on task %s: %s", task.name, verdict.reason or "certified")
        if verdict.certificate is not None:
            self._renew(rung)

    def _renew(self, rung: str) -> None:
        """What stands already goes on with its new certificate."""
        standing = self._store.standings.get(rung)
        if standing is not None and standing.stage != "observe":
            reason = "certified on more examples"
            promote(self._store, rung, standing.stage, "learner", reason, seen=standing)
