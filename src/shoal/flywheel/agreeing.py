"""Certifies the agreement of cheaper models on what a task's specialist passes on.

Nothing is trained: the models' answers to a fair sample of the calls are compared with the LLM's.
While a specialist serves, only calls count that it was too unsure of, so that its threshold is
fixed before the first of them came; its certificate and this one spend half of the error budget
each, and together keep the promise for all that is answered in the LLM's place (union bound).
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import uuid_utils
from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer
from shoal.flywheel.certification import Verdict, file_verdict
from shoal.flywheel.lessons import digest_of, token_rates
from shoal.flywheel.options import LearnOptions, LessonOptions
from shoal.flywheel.promotion import broken_at, redrawn_at
from shoal.guarantees import Certificate, Refusal, Selection, assumptions_of, delta_at, select_level
from shoal.routing.agreement import KIND, agreement_id, shares, weigh
from shoal.routing.promise import PromiseOptions
from shoal.specialists.card import Card
from shoal.storage import Example, Store
from shoal.tasks import Task, comparator_name, same

_DAY = 86_400.0


class Heard(Struct, frozen=True):
    """One example: what each voice said, and the LLM's answer."""

    example: Example
    voices: tuple[Answer, ...]
    reference: Answer


class AgreementExaminer:
    """Certifies, for tasks of one store, how often these ``models`` may agree on an answer that is
    not the LLM's. ``label`` is as of ``Examiner``."""

    def __init__(
        self,
        store: Store,
        options: LearnOptions,
        models: Sequence[str],
        label: Callable[[str], str] = str,
        own: Mapping[str, LessonOptions] | None = None,
    ) -> None:
        self._store, self._options, self._models = store, options, tuple(models)
        self._label, self._own = label, own or {}

    def heard(self, task: Task) -> list[Heard]:
        """The examples on which every voice was heard, oldest first, for the LLM asked most."""
        since = max(broken_at(self._store, agreement_id(task.id)), redrawn_at(self._store, task.id))
        after = serving_card(self._store, task.id)
        recorded = self._store.examples.of(task.id, limit=self._options.max_examples)
        examples = [example for example in recorded if example.at >= since]
        tries = self._store.tries.of_calls([example.call_id for example in examples])
        wanted = (after, *self._models) if after else self._models
        if len(wanted) < 2:
            return []
        found = []
        for example in examples:
            said = tries.get(example.call_id, {})
            voices = [said[name].answer for name in wanted if name in said]
            fits = all(each.after == after for each in said.values())
            if example.llm_answer and fits and len(voices) == len(wanted):
                found.append(Heard(example, tuple(voices), example.llm_answer))
        models = Counter(heard.example.request.model for heard in found)
        llm = max(models, key=lambda name: (models[name], name), default="")
        kept = [heard for heard in found if heard.example.request.model == llm]
        return sorted(kept, key=lambda heard: (heard.example.at, heard.example.call_id))

    def certify(self, task: Task, heard: Sequence[Heard], promise: PromiseOptions) -> Verdict:
        """Try to certify; spends from the budget of the task's agreement, whatever comes of it.

        Raises:
            LearningError: another process did meanwhile.
        """
        own = self._own.get(task.name, LessonOptions())
        task = replace(task, contract=own.applied(task.contract))
        rung = agreement_id(task.id)
        nth = len(self._store.attempts.list(rung)) + 1
        delta = delta_at(nth, promise.delta)
        agreed = [weigh(task.contract, each.voices) for each in heard]
        wrong = [
            one.chosen is None or not same(task.contract, one.chosen, each.reference)
            for one, each in zip(agreed, heard, strict=True)
        ]
        signals = [one.signal for one in agreed]
        levels = shares(len(heard[0].voices))
        found = select_level(signals, wrong, levels, promise.alpha, delta)
        if isinstance(found, Refusal):
            reason = f"agreement of {', '.join(self._models)}: {found.reason}"
            refusals = ((KIND, found),)
            verdict = Verdict(
                rung, len(heard), reason, None, refusals, promise.alpha, promise.confidence
            )
            file_verdict(self._store, verdict, nth)
            return verdict
        card = self._card(task, heard, float(1 - np.mean(wrong)))
        certificate = self._certificate(task, card, found, promise, nth, delta)
        verdict = Verdict(
            rung,
            len(heard),
            certificate=certificate,
            alpha=promise.alpha,
            confidence=promise.confidence,
        )
        file_verdict(self._store, verdict, nth, card)
        return verdict

    def _card(self, task: Task, heard: Sequence[Heard], agreement: float) -> Card:
        examples = [each.example for each in heard]
        return Card(
            id=str(uuid_utils.uuid7()),
            task=agreement_id(task.id),
            kind=KIND,
            recipe=" + ".join(self._models),
            contract=task.contract,
            llm=examples[0].request.model,
            encoder="",
            artifact="",
            examples=len(heard),
            agreement=agreement,
            data_digest=_digest(heard),
            trained_at=time.time(),
            cpu_seconds=0.0,
            rates=token_rates(examples),
        )

    def _certificate(
        self,
        task: Task,
        card: Card,
        found: Selection,
        promise: PromiseOptions,
        nth: int,
        delta: float,
    ) -> Certificate:
        reference = self._label(card.llm)
        return Certificate(
            id=str(uuid_utils.uuid7()),
            task=task.name,
            specialist=card.id,
            alpha=promise.alpha,
            confidence=promise.confidence,
            delta_spent=delta,
            attempt=nth,
            threshold=found.threshold,
            n=found.n,
            accepted=found.accepted,
            errors=found.errors,
            risk_bound=found.risk_bound,
            coverage=found.coverage,
            coverage_low=found.coverage_low,
            coverage_high=found.coverage_high,
            reference=reference,
            comparator=comparator_name(task.contract),
            method="held-out",
            data_digest=card.data_digest,
            assumptions=assumptions_of("held-out", reference),
            issued_at=card.trained_at,
            lapses_at=card.trained_at + self._options.lapse_days * _DAY,
            models=self._models,
            after=serving_card(self._store, task.id),
        )


def serving_card(store: Store, task: str) -> str:
    """The card of the specialist that serves the task, "" if none does."""
    standing = store.standings.get(task)
    return standing.card if standing is not None and standing.stage == "serve" else ""


def _digest(heard: Sequence[Heard]) -> str:
    lines = (
        (each.example.call_id, *(voice.text for voice in each.voices), each.reference.text)
        for each in heard
    )
    return digest_of(lines)
