"""``shoal certify`` and ``shoal certificate``."""

import time
from typing import Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console

from shoal.cli.context import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    find_rung,
    find_task,
    new_learner,
    open_store,
)
from shoal.cli.figures import moment, percent
from shoal.cli.printing import say, show_json
from shoal.config import read_config
from shoal.flywheel.certification import Verdict
from shoal.flywheel.overview import Proof, proof_of, verdict_of
from shoal.guarantees import Certificate, EProcess, delta_at, delta_left
from shoal.routing.filing import agreement_id
from shoal.routing.promise import PromiseOptions
from shoal.storage import CertificateRow, Stage, Store
from shoal.tasks import Task

REFUSED = 2  # exit status
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="The task's name or id.")]


class AttemptSummary(Struct, frozen=True):
    """One attempt to certify a task, the ``nth``, on so many examples; ``reason`` is "" if it was
    granted."""

    nth: int
    at: float
    examples: int
    reason: str


class AuditCount(Struct, frozen=True):
    """Audits of the newest certificate, of one ``label`` that is promised by itself or of all
    answers (""): of ``n`` ``errors`` differed; it is taken back when ``e_value`` reaches
    ``limit``."""

    label: str
    n: int
    errors: int
    e_value: float
    limit: float


class Standing(Struct, frozen=True):
    """A task's certificates: the one in force, or why there is none, and how that came; and so of
    the agreement of cheaper models, None if that was never tried. ``label_audits`` are of the
    newest, those with the strongest evidence first."""

    task: str
    stage: Stage
    certificate: Certificate | None
    why_not: str
    attempts: list[AttemptSummary]
    all: list[Certificate]
    agreement: "Standing | None" = None
    audits: AuditCount | None = None
    label_audits: list[AuditCount] = []


def certify(task: TaskName, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Try to certify a task now; this spends from its error budget.

    Every attempt does, or trying often would make the promise weaker than it reads: later attempts
    get less and so need more examples. Exit status 2 if the certificate is refused.
    """
    settings = read_config(config)
    with open_store(settings) as store:
        found = find_task(store, task)
        learner = new_learner(settings, store)
        with Console(stderr=True).status(f"Training and testing {found.name} …"):
            verdict = learner.certify(found)
        say_verdict(store, found, verdict, learner.promise(found))


def say_verdict(store: Store, task: Task, verdict: Verdict, promise: PromiseOptions) -> None:
    """Say what an attempt came to, and what to do next; exit status 2 if it was refused."""
    say(_spent(len(store.attempts.list(task.id)), promise))
    if verdict.certificate is None:
        say(_refusal(verdict))
        raise typer.Exit(REFUSED)
    say(verdict.certificate.describe())
    say(_next(store, task))


def certificate(
    task: TaskName,
    as_json: AsJson = False,
    every: Annotated[bool, typer.Option("--all", help="Earlier ones too, newest first.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Show a task's certificate, or why it has none.

    Exit status 2 if none is in force.
    """
    settings = read_config(config)
    with open_store(settings) as store:
        found = find_rung(store, task)
        proof = proof_of(store, found, settings.learn, settings.promise_of(found.name))
        standing = _standing(store, found, found.id, proof)
        rung = agreement_id(found.id)
        if store.attempts.list(rung):
            second = proof_of(store, replace(found, id=rung), settings.learn)
            standing = replace(standing, agreement=_standing(store, found, rung, second))
    if as_json:
        show_json(standing)
    else:
        _show(standing, every)
    if proof.certificate is None:
        raise typer.Exit(REFUSED)


def _standing(store: Store, task: Task, rung: str, proof: Proof) -> Standing:
    verdicts = [(attempt, verdict_of(attempt)) for attempt in store.attempts.list(rung)]
    stands = store.standings.get(rung)
    newest = next(iter(store.certificates.list(rung)), None)
    audits, by_label = (None, []) if newest is None else _audits(store, newest)
    return Standing(
        task=task.name,
        stage=stands.stage if stands else "observe",
        certificate=proof.certificate,
        why_not=proof.why_not,
        attempts=[
            AttemptSummary(attempt.nth, attempt.at, verdict.examples, verdict.reason)
            for attempt, verdict in verdicts
        ],
        all=[Certificate.from_json(row.spec) for row in store.certificates.list(rung)],
        audits=audits,
        label_audits=by_label,
    )


def _audits(store: Store, newest: CertificateRow) -> tuple[AuditCount, list[AuditCount]]:
    watch = store.audits.watch(newest.id)
    whole, part = watch.levels(1 - Certificate.from_json(newest.spec).confidence)
    found = sorted(watch.labels.items(), key=lambda item: (-item[1].log_peak, item[0]))
    return _count("", watch.average, whole), [_count(name, e, part) for name, e in found]


def _count(label: str, process: EProcess, level: float) -> AuditCount:
    return AuditCount(label, process.n, process.errors, process.e_value, 1 / level)


def _show(standing: Standing, every: bool) -> None:
    if standing.certificate is None:
        say(f"{standing.task} has no certificate in force: {standing.why_not}.")
    else:
        say(standing.certificate.describe())
    last = standing.attempts[-1] if standing.attempts else None
    if last and last.reason:
        when = f"{moment(last.at)} UTC, {last.examples:,} examples"
        reason = "" if last.reason in standing.why_not else f": {last.reason}"
        say(f"Attempt {last.nth} ({when}) was refused{reason}.")
    if standing.audits is not None:
        say(_audited(standing.audits))
    audited = [audits for audits in standing.label_audits if audits.n]
    if audited:
        limit = f"{audited[0].limit:,.0f}"
        say(f"Audits by label; evidence of {limit} against any takes the specialist back:")
    for one in audited:
        say(f"- {one.label}: {one.errors} of {one.n:,} differed, evidence {one.e_value:.3g}")
    say(f"Stage: {standing.stage}.")
    for earlier in standing.all if every else ():
        if earlier != standing.certificate:
            say(f"\n{'Lapsed. ' if earlier.lapsed(time.time()) else ''}{earlier.describe()}")
    if standing.agreement is not None:
        say("\nCheaper models:")
        _show(standing.agreement, every)


def _audited(audits: AuditCount) -> str:
    if audits.n == 0:
        return "None of its answers has been audited yet."
    return (
        f"Audits: {audits.errors} of {audits.n:,} answers differed, evidence "
        f"{audits.e_value:.3g}; at {audits.limit:,.0f} it is taken back."
    )


def _spent(nth: int, promise: PromiseOptions) -> str:
    return (
        f"Attempt {nth}: it spent {percent(delta_at(nth, promise.delta))} of the "
        f"{percent(promise.delta)} error budget, which leaves "
        f"{percent(delta_left(nth, promise.delta))} for all later ones."
    )


def _refusal(verdict: Verdict) -> str:
    tried = [f"- {recipe}: {refusal.reason}" for recipe, refusal in verdict.refusals]
    return "\n".join((f"Refused, with {verdict.examples:,} examples: {verdict.reason}.", *tried))


def _next(store: Store, task: Task) -> str:
    standing = store.standings.get(task.id)
    if standing is None or standing.stage == "observe":
        return (
            f"Nothing is served by it yet: `shoal promote {task.name}` has it shadow the LLM, with "
            "--to serve it serves."
        )
    return (
        f"{task.name} goes on with its earlier certificate ({standing.stage}): "
        f"`shoal promote {task.name} --to {standing.stage}` takes this one."
    )
