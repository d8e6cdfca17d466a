"""A call and its receipt as people read them."""

from collections.abc import Iterator

from shoal.assembly.record import CallView
from shoal.chat import Answer, Deliberation, Message
from shoal.cli.figures import moment, money, one_line, percent
from shoal.errors import NotFound
from shoal.guarantees import Certificate
from shoal.routing.receipt import Receipt, Tried
from shoal.storage import Audit, Feedback, Store


def describe(store: Store, call: CallView, task: str) -> str:
    """The whole call, several lines; ``task`` is the name of its task."""
    return "\n".join(_lines(store, call, task))


def _lines(store: Store, call: CallView, task: str) -> Iterator[str]:
    receipt = call.receipt
    yield f"Call {call.id}, {moment(call.at)} UTC{', imported' * (call.source == 'import')}"
    yield f"Task: {task}"
    if call.episode:
        yield f"Episode: {one_line(call.episode)}"
    yield f"Answered by: {receipt.answered_by or 'nobody'}, in {receipt.latency_ms:,.1f} ms"
    yield f"Why: {receipt.reason}"
    if call.error:
        yield f"Error: {call.error}"
    yield _cost(receipt)
    yield f"Certificate: {_certificate(store, receipt.certificate)}"
    if receipt.tried:
        yield "Rungs tried:"
        yield from map(_rung, receipt.tried)
    if receipt.deliberation is not None:
        yield from _worked_out(receipt.deliberation)
    if call.reasons:
        yield "What decided (for the answer above 0, against it below):"
        yield from (f"- {reason.weight:+.3f} {one_line(reason.what)}" for reason in call.reasons)
    yield f"Audit: {_audit(call.audit)}"
    yield f"Feedback: {_feedback(call.feedback)}"
    yield ""
    yield f"Request to {call.request.model}:"
    for message in call.request.messages:
        yield from _message(message)
    if call.answer is not None:
        yield "Answer:" if call.answer.complete else "Answer, as far as it came:"
        yield from _answer(call.answer)


def _cost(receipt: Receipt) -> str:
    if receipt.answered_by == receipt.llm:
        return f"Cost: {money(receipt.cost)}"
    estimated = ", estimated from the task's earlier calls" if receipt.llm_cost_estimated else ""
    return (
        f"Cost: {money(receipt.cost)}; {receipt.llm} would have cost "
        f"{money(receipt.llm_cost)}{estimated}"
    )


def _certificate(store: Store, certificate_id: str) -> str:
    if not certificate_id:
        return "none was needed"
    try:
        spec = store.certificates.get(certificate_id).spec
    except NotFound:
        return f"{certificate_id}, not in this store"
    found = Certificate.from_json(spec)
    return (
        f"{found.id}: at most {percent(found.alpha)} differ from {found.reference}, with "
        f"{percent(found.confidence)} confidence"
    )


def _rung(tried: Tried) -> str:
    verdict = "answered" if tried.accepted else "went on"
    measured = ""
    if tried.signal is not None and tried.threshold is not None:
        sign = "≥" if tried.signal >= tried.threshold else "<"
        measured = f", signal {tried.signal:.4f} {sign} threshold {tried.threshold:.4f}"
    took = f", {tried.latency_ms:.1f} ms" if tried.latency_ms else ""
    return f"- {tried.answerer} {verdict}{measured}{took}: {tried.reason}"


def _worked_out(told: Deliberation) -> Iterator[str]:
    agreed = "" if told.agreement is None else f", {percent(told.agreement)} agree"
    asked = f"{len(told.samples)} calls of models"
    yield f"Worked out by {told.strategy}: {asked}{agreed}; {told.stopped}"
    for sample in told.samples:
        said = {True: "agrees", False: "does not agree", None: "answered"}[sample.agrees]
        said = f"failed: {sample.error}" if sample.error else said
        yield f"- {sample.model} {said}, {sample.latency_ms:.1f} ms, {money(sample.cost)}"


def _audit(audit: Audit | None) -> str:
    if audit is None:
        return "none"
    if audit.kind == "review":
        return f"served, and judged by a person: {'right' if audit.agrees else 'wrong'}"
    kind = "served, and compared" if audit.kind == "audit" else "shadowed, and compared"
    if audit.agrees:
        return f"{kind} with the reference: the same answer"
    said = one_line("\n".join(_answer(audit.reference)))
    return f"{kind} with the reference: it differs, the reference said {said!r}"


def _feedback(word: Feedback | None) -> str:
    if word is None:
        return "none"
    if word.verdict == "answer":
        return f"wrong, the right answer is {one_line(word.answer)!r}"
    return word.verdict


def _message(message: Message) -> Iterator[str]:
    yield f"[{message.role}]"
    yield from _said(message)


def _answer(answer: Answer) -> Iterator[str]:
    if answer.refusal:
        yield f"(refused) {answer.refusal}"
    yield from _said(answer)


def _said(message: Message | Answer) -> Iterator[str]:
    if message.text:
        yield message.text
    for call in message.tool_calls:
        yield f"{call.name}({call.arguments})"
