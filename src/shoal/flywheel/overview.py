"""Where every task stands: its stage, its calls, and its certificate or why it has none."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import LearningError, StoreDamaged
from shoal.flywheel.finding import known_tasks
from shoal.flywheel.options import LearnOptions
from shoal.flywheel.promotion import usable_certificate
from shoal.guarantees import Certificate
from shoal.routing.filing import agreement_id
from shoal.routing.promise import PromiseOptions
from shoal.storage import Attempt, Stage, Store, Volume
from shoal.tasks import Input, Matcher, Task

if TYPE_CHECKING:
    from shoal.flywheel.certification import Verdict

_LOOKED_AT = 50  # examples

NOTHING = Volume(
    calls=0,
    small=0,
    errors=0,
    priced=0,
    cost=0.0,
    llm_cost=0.0,
    latency_ms=0.0,
    first_at=0.0,
    last_at=0.0,
)


class Proof(Struct, frozen=True):
    """A task's certificate if it may be served on, else ``why_not`` in plain words."""

    certificate: Certificate | None = None
    why_not: str = ""


class TaskOverview(Struct, frozen=True):
    """One task: how far it has got, its calls and its proof."""

    task: Task
    stage: Stage
    volume: Volume
    proof: Proof
    agreement: Proof | None = None  # of cheaper models; None if they were never tried
    agreeing: bool = False  # whether they serve


def overview(
    store: Store,
    options: LearnOptions,
    since: float = 0.0,
    promised: Callable[[str], PromiseOptions] | None = None,
) -> list[TaskOverview]:
    """Every task, those with the most calls since that moment (unix seconds) first; ``promised``
    tells what is to be promised of a task, by name.

    Raises:
        StoreError: the store cannot be read.
    """
    volumes = store.calls.volumes(since)
    stages = {standing.task: standing.stage for standing in store.standings.list()}
    found = [
        TaskOverview(
            task,
            stages.get(task.id, "observe"),
            volumes.get(task.id, NOTHING),
            proof_of(store, task, options, promised(task.name) if promised else None),
            agreement_of(store, task, options),
            stages.get(agreement_id(task.id)) == "serve",
        )
        for task in known_tasks(store)
    ]
    return sorted(found, key=lambda item: (-item.volume.calls, item.task.name))


def proof_of(
    store: Store, task: Task, options: LearnOptions, promise: PromiseOptions | None = None
) -> Proof:
    """The certificate of a task, or why there is none, for what is to be promised.

    Raises:
        StoreDamaged: what is stored of the last attempt cannot be read.
    """
    try:
        return Proof(Certificate.from_json(usable_certificate(store, task.id).spec))
    except LearningError as error:
        if store.certificates.list(task.id):
            return Proof(why_not=str(error))
    attempts = store.attempts.list(task.id)
    if attempts:
        return Proof(why_not=f"refused: {verdict_of(attempts[-1]).reason}")
    from shoal.flywheel.ladder import why_not  # .3 s to load, and only tasks never tried need it

    if reason := why_not(task) or why_not(task, inputs := _latest_inputs(store, task)):
        return Proof(why_not=reason)
    if promise is not None and promise.by_people:
        from shoal.flywheel.reviewing import asking_of, review_needs, too_few_reviews

        asking = asking_of(store, task.id, promise)
        queue = store.reviews.queue(task.id, asking.rate, asking.since)
        needs = review_needs(task, promise, options, 1, inputs)
        if few := too_few_reviews(len(queue.counts), needs, task.name):
            return Proof(why_not=few)
    return Proof(why_not=f"not tried yet: the learner does so at {options.min_examples} examples")


def agreement_of(store: Store, task: Task, options: LearnOptions) -> Proof | None:
    """The certificate of a task's cheaper models, or why there is none; None if none was tried.

    Raises:
        StoreDamaged: what is stored of the last attempt cannot be read.
    """
    rung = agreement_id(task.id)
    if not store.attempts.list(rung):
        return None
    return proof_of(store, replace(task, id=rung), options)


def _latest_inputs(store: Store, task: Task) -> list[Input]:
    """Enough to judge by what kind of inputs it has."""
    matcher = Matcher([task])
    recorded = store.examples.of(task.id, limit=_LOOKED_AT)
    matches = [(matcher.find(example.request), example.request) for example in recorded]
    return [match.input_of(request) for match, request in matches if match]


def verdict_of(attempt: Attempt) -> "Verdict":
    """What an attempt came to.

    Raises:
        StoreDamaged: it cannot be read.
    """
    from shoal.flywheel.certification import Verdict

    try:
        return msgspec.json.decode(attempt.outcome, type=Verdict)
    except msgspec.DecodeError as error:
        raise StoreDamaged(
            f"attempt {attempt.nth} of task {attempt.task} cannot be read ({error}); it was left "
            "as it is"
        ) from error
