"""Gathers what the report on a task tells from the store."""

import time

from shoal.chat import Answer
from shoal.errors import NotFound
from shoal.evaluation.report import Example, Facts, Step
from shoal.flywheel.options import LearnOptions
from shoal.flywheel.overview import proof_of, verdict_of
from shoal.flywheel.trial import LadderStep
from shoal.guarantees import Certificate, log_e_path
from shoal.routing.promise import PromiseOptions
from shoal.storage import Audit, CallRecord, Store
from shoal.tasks import Matcher, Task
from shoal.tasks.describe import explain

_SHOWN = 20
_AUDITS = 10_000


def facts_of(
    store: Store, task: Task, options: LearnOptions, promise: PromiseOptions | None = None
) -> Facts:
    """What is known of a task's newest certificate, in force or not, and of its last attempt;
    ``promise`` is as for ``proof_of``.

    Raises:
        StoreError: the store cannot be read.
    """
    proof = proof_of(store, task, options, promise)
    rows = store.certificates.list(task.id)
    certificate = proof.certificate or (Certificate.from_json(rows[0].spec) if rows else None)
    standing = store.standings.get(task.id)
    volume = store.calls.volumes().get(task.id)
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
        ladder=_ladder(store, task),
        mistakes=_mistakes(store, task, certificate.id) if certificate else (),
        disagreements=_disagreements(store, task, audits),
        watch=store.audits.watch(certificate.id) if certificate else None,
        log_e=tuple(path),
        llm_cost=volume.llm_cost / volume.priced if volume and volume.priced else None,
        llm_ms=_llm_ms(store, task),
    )


def _ladder(store: Store, task: Task) -> tuple[Step, ...]:
    verdicts = [verdict_of(attempt) for attempt in store.attempts.list(task.id)]
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


def _llm_ms(store: Store, task: Task) -> float | None:
    """The mean time of the LLM over the newest calls that it answered."""
    pages = store.calls.history(task.id, size=200)
    page = next(pages, [])
    took = [call.latency_ms for call in page if call.answered_by == call.llm and not call.error]
    return sum(took) / len(took) if took else None


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
