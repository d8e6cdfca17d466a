"""Certifies cheaper models on what a task's specialist passes on.

The models' answers to a fair sample of the calls are compared with the LLM's. While a specialist
serves, only calls count that it was too unsure of, so that its threshold is fixed before the first
of them came; its certificate and this one spend half of the error budget each, and together keep
the promise for all that is answered in the LLM's place (union bound).
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import uuid_utils
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from shoal.chat import Answer
from shoal.errors import LearningError
from shoal.flywheel.agreement_trial import Proven
from shoal.flywheel.certification import Verdict, file_verdict, nearest_reason
from shoal.flywheel.choirs import Choir, Heard, cheapest
from shoal.flywheel.issuing import Grounds, issued
from shoal.flywheel.lessons import digest_of, together_by, token_rates
from shoal.flywheel.options import LearnOptions, LessonOptions
from shoal.flywheel.promotion import serving_card
from shoal.flywheel.trial import KEPT_MISTAKES
from shoal.guarantees import Calibration, delta_at
from shoal.reasoning.options import ReasoningOptions
from shoal.routing.agreement import Voices
from shoal.routing.filing import KIND, agreement_id
from shoal.routing.privacy import PrivacyOptions, scrub_input
from shoal.routing.promise import PromiseOptions
from shoal.routing.rung import beyond
from shoal.routing.signals.registry import validators_of
from shoal.specialists.card import Card
from shoal.specialists.senses import Senses
from shoal.storage import Example, Ground, Mistake, Store, Try
from shoal.tasks import CallContract, Contract, Input, Matcher, Task, comparator_name, read
from shoal.tasks.answer_label import label_of


class Hearing(Struct, frozen=True):
    """What was ``heard``, oldest first, past the specialist of card ``after`` ("": of all calls),
    as of ``at`` (unix seconds)."""

    heard: tuple[Heard, ...]
    after: str
    at: float


class AgreementExaminer:
    """Certifies, for tasks of one store, how often what these ``models`` say may not be the LLM's.

    ``senses`` gives the encoder, None if there is none. ``label`` is as of ``Examiner``.
    """

    def __init__(
        self,
        store: Store,
        options: LearnOptions,
        models: Sequence[str],
        senses: Callable[[], Senses | None] = lambda: None,
        label: Callable[[str], str] = str,
        privacy: PrivacyOptions | None = None,
        own: Mapping[str, LessonOptions] | None = None,
        reasoning: ReasoningOptions | None = None,
    ) -> None:
        """``own`` are tasks, by name, whose answers are judged in ways of their own;
        ``reasoning`` is how strategies are asked."""
        self._store, self._options, self._models = store, options, tuple(models)
        self._senses, self._label, self._own = senses, label, own or {}
        self._privacy = privacy or PrivacyOptions()
        self._reasoning = reasoning or ReasoningOptions()

    def hearing(self, task: Task) -> Hearing:
        """The calls on which every voice was heard, for the LLM asked most: of those that the rung
        would be asked about now."""
        at, after = time.time(), serving_card(self._store, task.id)
        ground = Ground.now(self._store.events, task.id, agreement_id(task.id), after)
        tries = self._store.tries.of_task(ground)
        matcher, found = Matcher([task]), list[tuple[Heard, Input]]()
        for example in self._store.examples.of_calls(tries):
            said = self._voices(example, tries[example.call_id], after, matcher)
            if said is not None and example.llm_answer is not None:
                voices, given = said
                found.append((Heard(example, voices, example.llm_answer), given))
        models = Counter(heard.example.request.model for heard, _ in found)
        llm = max(models, key=lambda name: (models[name], name), default="")
        kept = [both for both in found if both[0].example.request.model == llm]
        kept.sort(key=lambda both: (both[0].example.at, both[0].example.call_id))
        heard = _linked(task.contract, kept[-self._options.max_examples :])
        return Hearing(tuple(heard), after, at)

    def certify(self, task: Task, hearing: Hearing, promise: PromiseOptions) -> Verdict:
        """Try to certify; spends from the budget of the task's agreement, whatever comes of it.

        Raises:
            LearningError: another process did meanwhile, or what was heard is no longer what the
                rung would be asked about.
            ConfigError: a comparator or validator of the task is not known here.
        """
        own, heard = self._own.get(task.name, LessonOptions()), hearing.heard
        contract = own.applied(task.contract)
        rung, check = agreement_id(task.id), self._still_true(task, hearing)
        nth = len(self._store.attempts.list(rung)) + 1
        delta = delta_at(nth, promise.delta)
        validators = validators_of(own.validators)
        found = cheapest(
            self._models, contract, heard, validators, promise.alpha, delta, self._senses()
        )
        verdict = Verdict(
            rung,
            len(heard),
            refusals=found.refusals,
            alpha=promise.alpha,
            confidence=promise.confidence,
            ladder=found.ladder,
            comparator=comparator_name(contract),
            validators=own.validators,
            per_label=promise.per_label,
            after=hearing.after,
        )
        if found.proven is None or found.choir is None:
            reason = f"agreement of {', '.join(self._models)}: {nearest_reason(found.refusals)}"
            verdict = replace(verdict, reason=reason)
            file_verdict(self._store, verdict, nth, check=check)
            return verdict
        choir = found.choir
        card = self._card(replace(task, contract=contract), choir, found.proven)
        reference, days = self._label(card.llm), self._options.lapse_days
        grounds = Grounds(promise, nth, delta, reference, "held-out", days)
        points, mistakes = _evidence(contract, choir, found.proven)
        certificate = replace(
            issued(task.name, card, found.proven.selection, grounds),
            slices=points.slices(points.signals >= found.proven.selection.threshold, promise.delta),
            models=choir.models,
            after=hearing.after,
            signal=found.proven.signal,
            validators=own.validators,
            sampling=self._reasoning.sampling(choir.models),
        )
        verdict = replace(verdict, certificate=certificate)

        def check_and_keep(conn: Connection) -> None:
            check(conn)
            self._store.evidence.insert(conn, certificate.id, points, mistakes)

        file_verdict(self._store, verdict, nth, card, check_and_keep)
        return verdict

    def _still_true(self, task: Task, hearing: Hearing) -> Callable[[Connection], None]:
        def check(conn: Connection) -> None:
            after = serving_card(self._store, task.id)
            events, rung = self._store.events, agreement_id(task.id)
            if (
                after != hearing.after
                or Ground.now(events, task.id, rung, after).since > hearing.at
            ):
                raise LearningError(
                    "another specialist serves, or the promise was broken, while its cheaper "
                    "models were being certified: they are tried on what comes to them now"
                )

        return check

    def _voices(
        self, example: Example, said: Mapping[str, Try], after: str, matcher: Matcher
    ) -> tuple[Voices, Input] | None:
        """What was said of a call, and its input; None if not every voice was heard, or it is none
        of the task's any more, or none that the rung would be asked about."""
        wanted = (after, *self._models) if after else self._models
        if any(name not in said for name in wanted):
            return None
        match = matcher.find(example.request)
        if match is None or beyond(example.request, isinstance(match.task.contract, CallContract)):
            return None
        given = match.input_of(example.request)
        if self._privacy.learns_less:  # as it will be seen when it serves
            given = scrub_input(given, self._privacy.scrubbed)
        own = said[after].signal if after else None
        own = float("-inf") if after and own is None else own
        answers = tuple(said[name].answer for name in wanted)
        return Voices(example.request, given.text, answers, own), given

    def _card(self, task: Task, choir: Choir, proven: Proven) -> Card:
        examples = [each.example for each in choir.heard]
        senses = self._senses() if proven.trust is not None else None
        return Card(
            id=str(uuid_utils.uuid7()),
            task=agreement_id(task.id),
            kind=KIND,
            recipe=" + ".join(choir.models),
            contract=task.contract,
            llm=examples[0].request.model,
            encoder=senses.digest if senses else "",
            artifact=self._artifact(proven),
            examples=len(choir.heard),
            agreement=choir.right,
            data_digest=_digest(choir.heard),
            trained_at=time.time(),
            cpu_seconds=proven.cpu_seconds,
            rates=token_rates(examples),
        )

    def _artifact(self, proven: Proven) -> str:
        """The digest of the files of what was learned, "" if nothing was."""
        if proven.trust is None:
            return ""
        with tempfile.TemporaryDirectory() as folder:
            proven.trust.save(Path(folder))
            return self._store.artifacts.put(Path(folder))


def _linked(contract: Contract, found: Sequence[tuple[Heard, Input]]) -> list[Heard]:
    """The same, each with the conversation of which it is a step, where calls may be that."""
    heard, inputs = [one for one, _ in found], [given for _, given in found]
    if not (isinstance(contract, CallContract) or any(given.goes_on for given in inputs)):
        return heard
    names = together_by([one.example.episode for one in heard], inputs)
    if len(set(names)) == len({one.voices.text for one in heard}):  # each stands alone
        return heard
    return [replace(one, together=name) for one, name in zip(heard, names, strict=True)]


def _evidence(
    contract: Contract, choir: Choir, proven: Proven
) -> tuple[Calibration, tuple[Mistake, ...]]:
    """What the signal was proven on: its points, and the surest of the answers that would have been
    served and differ."""
    at = np.flatnonzero(proven.tested).tolist()
    rows = [(choir.heard[i], choir.agreed[i], choir.wrong[i]) for i in at]
    points = Calibration.of(
        proven.scores,
        [bad for *_, bad in rows],
        [_label(contract, one.chosen) for _, one, _ in rows],
        [len(each.voices.text) for each, *_ in rows],
        [each.example.at for each, *_ in rows],
    )
    mistakes = [
        Mistake(each.example.call_id, float(score), one.chosen)
        for (each, one, bad), score in zip(rows, proven.scores, strict=True)
        if bad and one.chosen is not None and score >= proven.selection.threshold
    ]
    return points, tuple(sorted(mistakes, key=lambda one: -one.signal)[:KEPT_MISTAKES])


def _label(contract: Contract, chosen: Answer | None) -> str | None:
    return None if chosen is None else label_of(contract, read(contract, chosen))


def _digest(heard: Sequence[Heard]) -> str:
    lines = (
        (
            each.example.call_id,
            *("" if voice is None else voice.text for voice in each.voices.answers),
            each.reference.text,
        )
        for each in heard
    )
    return digest_of(lines)
