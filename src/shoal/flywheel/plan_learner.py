"""Learns the stored plans of agents by itself, as the learner does tasks: when enough runs came."""

import logging
import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from shoal.errors import ArtifactError, LearningError, ShoalError
from shoal.flywheel.certification import Verdict
from shoal.flywheel.options import LearnOptions
from shoal.flywheel.planned_runs import known_of, planned_runs
from shoal.flywheel.promotion import promote
from shoal.flywheel.stored_plans import LEAST, Terms, certify_plans, plans_before
from shoal.flywheel.trial import SensesOf
from shoal.planning.options import plans_id
from shoal.planning.plan import Plan
from shoal.routing.privacy import PrivacyOptions
from shoal.routing.promise import PromiseOptions
from shoal.storage import Store

log = logging.getLogger(__name__)

_GROWN = 1.2  # times as many runs are worth another look
_RENEW_AFTER = 0.9  # of a certificate's time
_NOTICED_S = 0.05
_RESTS = 50  # times as long as it took to count runs, which reads them all


class AgentPlans(Struct, frozen=True):
    """An agent, the ``model`` that plans for it, "" for none, the plans that people wrote for it,
    and what is to be promised of these and others."""

    name: str
    model: str
    stored: tuple[Plan, ...]
    promise: PromiseOptions


class PlanLearner:
    """Over one store, for the agents there are; run no more than one."""

    def __init__(
        self,
        store: Store,
        options: LearnOptions,
        agents: Sequence[AgentPlans],
        senses: SensesOf,
        label: Callable[[str], str] = str,
        privacy: PrivacyOptions | None = None,
    ) -> None:
        """``senses`` builds the encoder when it is first needed; ``label`` names references in
        certificates; ``privacy`` says what may be learned from."""
        self._store, self._options, self._agents = store, options, tuple(agents)
        self._senses, self._label, self._privacy = senses, label, privacy
        self._looked: dict[str, int] = {}  # by agent: its runs at the last look
        self._rests_until = 0.0  # of time.monotonic

    @property
    def rungs(self) -> tuple[str, ...]:
        """What standings call the stored plans of each agent."""
        return tuple(plans_id(agent.name) for agent in self._agents)

    def turn(self) -> None:
        """Learn what is ripe. What goes wrong with one agent is logged.

        Raises:
            StoreError: the store cannot be read.
        """
        began = time.monotonic()
        if began < self._rests_until:
            return
        # Without a model there is nobody to compare with: people have such plans learned.
        agents = [agent for agent in self._agents if agent.model]
        counts = [self._store.runs.count(agent.name) for agent in agents]
        now = time.monotonic()
        if now - began > _NOTICED_S:
            self._rests_until = now + _RESTS * (now - began)
        for agent, count in zip(agents, counts, strict=True):
            looked = self._looked.get(agent.name, 0)
            if count >= max(self._options.min_examples, _GROWN * looked):
                self._looked[agent.name] = count
                self._tend(agent)

    def _tend(self, agent: AgentPlans) -> None:
        try:
            verdict = self.certify_if_ripe(agent)
        except (LearningError, ArtifactError) as error:
            log.info("stored plans of %s: %s", agent.name, error)
        except ShoalError as error:
            log.error("stored plans of %s could not be learned: %s", agent.name, error)
        except Exception:  # whatever one agent's runs do to training, the others go on
            log.exception(
                "stored plans of %s could not be learned; tried again on more", agent.name
            )
        else:
            if verdict is not None:
                log.info("stored plans of %s: %s", agent.name, verdict.reason or "certified")

    def certify_if_ripe(self, agent: AgentPlans) -> Verdict | None:
        """Try to certify an agent's stored plans if there are enough examples; None if not, or if
        no plan recurs.

        Raises:
            LearningError, MalformedRequest, ArtifactError: see ``certify_plans``.
        """
        task, most = plans_id(agent.name), self._options.max_examples
        since = self._store.events.broken_at(task)
        seen = planned_runs(self._store, agent.name, agent.model, since, most, self._privacy)
        if len(seen) < self._wanted(task, agent.promise, since):
            return None
        stored = plans_before(self._store, agent.name, agent.stored)
        known = known_of(seen, stored, (), LEAST)
        if not known.plans:
            return None
        terms = Terms(
            promise=agent.promise,
            model=agent.model,
            reference=self._label(agent.model),
            lapse_days=self._options.lapse_days,
            files=tuple(plan.name for plan in agent.stored),
        )
        verdict = certify_plans(self._store, agent.name, known, self._senses, terms)
        if verdict.certificate is not None:
            self._renew(task)
        return verdict

    def _wanted(self, task: str, promise: PromiseOptions, broken: float) -> float:
        """Examples wanted before the next attempt, each of which spends from the error budget."""
        most = self._options.max_examples
        first = min(self._options.min_examples, most)
        attempts = self._store.attempts.list(task)
        stale = max(broken, time.time() - _RENEW_AFTER * self._options.lapse_days * 86_400)
        if not attempts or attempts[-1].at <= stale:
            return first
        last = msgspec.json.decode(attempts[-1].outcome, type=Verdict)
        if (last.alpha, last.confidence) != (promise.alpha, promise.confidence):
            return first
        wanted = last.examples * self._options.growth
        # More than are ever read: it waits until the certificate has aged.
        return min(wanted, most) if last.examples < most else wanted

    def _renew(self, task: str) -> None:
        """What stands already goes on with its new certificate."""
        standing = self._store.standings.get(task)
        if standing is not None and standing.stage != "observe":
            reason = "certified on more examples"
            promote(self._store, task, standing.stage, "learner", reason, seen=standing)
