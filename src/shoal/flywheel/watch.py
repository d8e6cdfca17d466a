"""The watch: starts what is certified, lets shadows serve, and ends what has lapsed.

Audits need no watch: whoever records one demotes in the same transaction.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from shoal.errors import LearningError, ShoalError
from shoal.flywheel.finding import known_tasks
from shoal.flywheel.newcomers import Newcomers
from shoal.flywheel.options import LearnOptions
from shoal.flywheel.promotion import demote, promote, serving_card, usable_certificate
from shoal.guarantees import Certificate
from shoal.routing.filing import agreement_id
from shoal.storage import Standing, Store

log = logging.getLogger(__name__)

_EVERY_S = 1.0
_NEWCOMERS_EVERY_S = 10.0
_NO_SHADOW = "certified by people, with whom no shadow is compared"


class Watch:
    """Moves tasks between their stages, as far as ``options.promote`` allows."""

    def __init__(self, store: Store, options: LearnOptions, rungs: Sequence[str] = ()) -> None:
        """``rungs`` are looked at beside the tasks: the stored plans of agents."""
        self._store, self._options, self._rungs = store, options, tuple(rungs)
        self._newcomers = Newcomers(store)
        self._looked: dict[str, float] = {}  # by certificate: time.monotonic

    def run(self, stop: threading.Event) -> None:
        """Look again and again until told to stop; training in another thread delays nothing."""
        while not stop.is_set():
            try:
                self.turn()
            except ShoalError as error:
                log.error("this look failed, the next is tried: %s", error)
            stop.wait(_EVERY_S)

    def turn(self) -> None:
        """Look at every task once.

        Raises:
            StoreError: the store cannot be read or written.
        """
        standings = {standing.task: standing for standing in self._store.standings.list()}
        for task in known_tasks(self._store):
            if task.ignored:
                continue
            for look, rung in ((self._look, task.id), (self._look_again, agreement_id(task.id))):
                with suppress(LearningError):  # nothing to start with, or somebody was quicker
                    look(rung, standings.get(rung))
        for rung in self._rungs:
            with suppress(LearningError):
                self._look(rung, standings.get(rung))

    def _look(self, task: str, standing: Standing | None) -> None:
        if standing is not None and standing.stage != "observe":
            self._follow(task, standing)
        elif self._options.promote != "observe" and not self._held_back(task):
            newest = usable_certificate(self._store, task)
            to: Literal["shadow", "serve"] = "shadow"
            reason = "certified: first in shadow"
            if self._options.promote == "serve" and Certificate.from_json(newest.spec).by_people:
                to, reason = "serve", _NO_SHADOW
            promote(self._store, task, to, "learner", reason, seen=standing)

    def _look_again(self, rung: str, standing: Standing | None) -> None:
        """Of an agreement: its tries were its time in shadow."""
        task = rung.partition("/")[0]
        if standing is not None and standing.stage == "serve":
            spec = self._store.certificates.get(standing.certificate).spec
            certificate = Certificate.from_json(spec)
            if certificate.lapsed(time.time()):
                demote(self._store, rung, "learner", "the certificate has lapsed", seen=standing)
            elif certificate.after != serving_card(self._store, task):
                reason = "another specialist, or none, now comes before it"
                demote(self._store, rung, "learner", reason, seen=standing)
        elif self._options.promote == "serve" and not self._held_back(rung):
            reason = "certified on the calls that it was tried on"
            promote(self._store, rung, "serve", "learner", reason, seen=standing)

    def _lapsed_for_newcomers(self, standing: Standing, certificate: Certificate) -> bool:
        """Looked at now and then: it reads calls, and no caller waits for it."""
        now = time.monotonic()
        if now - self._looked.get(certificate.id, -_NEWCOMERS_EVERY_S) < _NEWCOMERS_EVERY_S:
            return False
        self._looked[certificate.id] = now
        return self._newcomers.look(standing, certificate)

    def _held_back(self, task: str) -> bool:
        """A person's demotion stands until a person promotes again."""
        moves = (
            event
            for event in self._store.events.list(task)
            if event.kind in ("promoted", "demoted")
        )
        last = next(moves, None)
        return last is not None and last.kind == "demoted" and last.by == "person"

    def _follow(self, task: str, standing: Standing) -> None:
        spec = self._store.certificates.get(standing.certificate).spec
        certificate = Certificate.from_json(spec)
        if certificate.lapsed(time.time()):
            reason = "the certificate has lapsed"
            demote(self._store, task, "learner", reason, seen=standing)
            return
        if not certificate.by_people and self._lapsed_for_newcomers(standing, certificate):
            return
        if standing.stage != "shadow" or self._options.promote != "serve":
            return
        if usable_certificate(self._store, task).id != standing.certificate:
            promote(self._store, task, "shadow", "learner", "a newer certificate", seen=standing)
            return
        process = self._store.audits.process(standing.certificate)
        if certificate.by_people or process.n >= self._options.shadow_calls:
            kept = f"{process.n} shadowed calls, {process.errors} differed: the promise stands"
            reason = _NO_SHADOW if certificate.by_people else kept
            promote(self._store, task, "serve", "learner", reason, seen=standing)
