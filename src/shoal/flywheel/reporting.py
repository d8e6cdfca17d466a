"""Gathers what the report on a task tells from the store."""

import time
from collections.abc import Sequence

from msgspec.structs import replace

from shoal.chat import Answer
from shoal.errors import NotFound
from shoal.evaluation.report import Asked, Example, Facts, Step
from shoal.flywheel.agreement_trial import LEARNED
from shoal.flywheel.options import LearnOptions
from shoal.flywheel.overview import Proof, agreement_of, proof_of, verdict_of
from shoal.flywheel.trial import LadderStep
from shoal.guarantees import Certificate, log_e_path
from shoal.routing.filing import KIND, agreement_id
from shoal.routing.promise import PromiseOptions
from shoal.storage import Audit, CallFilter, CallRecord, Store
from shoal.tasks import Matcher, Task
from shoal.tasks.describe import explain

_SHOWN = 20
_AUDITS = 10_000
_TIMED = 200  # calls


def facts_of(
    store: Store, task: Task, options: LearnOptions, promise: PromiseOptions | None = None
) -> Facts:
    """What is known of a task's newest certificate, in force or not, and of its last attempt, and
    so of its cheaper models; ``promise`` is as for ``proof_of``.

    Raises:
        StoreError: the store cannot be read.
    """
    facts = _of_rung(store, task, task.id, proof_of(store, task, options, promise))
    proof = agreement_of(store, task, options)
    if proof is None:
        return facts
    agreement = _of_rung(store, task, agreement_id(task.id), proof)
    models = _asked(store, CallFilter(task=task.id, answered_by=f"{KIND}/{task.name}"))
    return replace(facts, agreement=replace(agreement, models=models))


def _of_rung(store: Store, task: Task, rung: str, proof: Proof) -> Facts:
    """What is known of a task's specialist or, by the id of their rung, of its cheaper models."""
    rows = store.certificates.list(rung)
    certificate = proof.certificate or (Certificate.from_json(rows[0].spec) if rows else None)
    standing = store.standings.get(rung)
    audits = store.audits.of_certificate(certificate.id, _AUDITS) if certificate else []
    wrong = [not audit.agrees for audit in reversed(audits)]
    path = log_e_path(wrong, certificate.alpha).tolist() if certificate and wrong else []
    return Facts(
        task=task.name,
        answers=explain(task.contract),
        stage=standing.stage if standing else "observe",
        made_at=time.time(),
        certificate=certificate,
        why_not=proof.why_not,
        points=store.evidence.points(certificate.id) if certificate else None,
        ladder=_ladder(store, rung),
        mistakes=_mistakes(store, task, certificate.id) if certificate else (),
        disagreements=_disagreements(store, task, audits),
        watch=store.audits.watch(certificate.id) if certificate else None,
        log_e=tuple(path),
        log_odds=certificate is not None and certificate.signal == LEARNED,
        llm=_llm(store, task),
    )


def _ladder(store: Store, rung: str) -> tuple[Step, ...]:
    verdicts = [verdict_of(attempt) for attempt in store.attempts.list(rung)]
    last = next((verdict for verdict in reversed(verdicts) if verdict.ladder), None)
    if last is None:
        return ()
    passed = [step.coverage for step in last.ladder if not step.refused]
    return tuple(
        Step(
            f"{step.kind}: {step.recipe}",
            step.cpu_seconds,
            step.answer_ms,
            step.coverage,
            _outcome(step, max(passed, default=0.0)),
        )
        for step in last.ladder
    )


def _outcome(step: LadderStep, most: float) -> str:
    said = f"refused: {step.refused}" if step.refused else _passed(step.coverage, most)
    return f"{said}; {step.made_up}" if step.made_up else said


def _passed(coverage: float, most: float) -> str:
    return "certifiable; serves most" if coverage >= most else "certifiable; serves less"


def _mistakes(store: Store, task: Task, certificate: str) -> tuple[Example, ...]:
    found = []
    matcher = Matcher([task])
    for mistake in store.evidence.mistakes(certificate)[:_SHOWN]:
        call = _call(store, mistake.call_id)
        if call is None:
            continue
        audit = store.audits.of_calls([call.id]).get(call.id)
        reference = audit.reference if audit else call.answer
        given, said = _input(matcher, call), _text(mistake.said)
        found.append(Example(call.id, mistake.signal, given, _text(reference), said))
    return tuple(found)


def _disagreements(store: Store, task: Task, audits: list[Audit]) -> tuple[Example, ...]:
    found = []
    matcher = Matcher([task])
    for audit in [one for one in audits if not one.agrees and one.kind != "shadow"][:_SHOWN]:
        call = _call(store, audit.call_id)
        if call is not None:
            given, said = _input(matcher, call), _text(call.answer)
            found.append(Example(call.id, None, given, _text(audit.reference), said))
    return tuple(found)


def _llm(store: Store, task: Task) -> Asked:
    """The mean cost of what the LLM was asked, and its mean time over the newest calls."""
    volume = store.calls.volumes().get(task.id)
    page = store.calls.list(CallFilter(task=task.id, limit=_TIMED))
    took = [call.latency_ms for call in page if call.answered_by == call.llm and not call.error]
    cost = volume.llm_cost / volume.priced if volume and volume.priced else None
    return Asked(cost, _mean(took))


def _asked(store: Store, wanted: CallFilter) -> Asked:
    """The mean cost and time of the newest calls that are ``wanted``."""
    page = store.calls.list(replace(wanted, limit=_TIMED))
    costs = [call.cost for call in page if call.cost is not None]
    return Asked(_mean(costs), _mean([call.latency_ms for call in page]))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _call(store: Store, call_id: str) -> CallRecord | None:
    try:
        return store.calls.get(call_id)
    except NotFound:
        return None


def _input(matcher: Matcher, call: CallRecord) -> str:
    match = matcher.find(call.request)
    return match.input_text if match else "\n".join(m.text for m in call.request.messages)


def _text(answer: Answer | None) -> str:
    if answer is None:
        return ""
    calls = [f"{call.name}({call.arguments})" for call in answer.tool_calls]
    return answer.text or "\n".join(calls) or answer.refusal
