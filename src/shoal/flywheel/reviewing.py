"""How many calls people must still review before an attempt at a certificate can succeed."""

from collections.abc import Sequence

from msgspec import Struct

from shoal.flywheel.ladder import recipes_for
from shoal.flywheel.options import LearnOptions
from shoal.flywheel.trial import HELD_OUT
from shoal.guarantees import clean_examples_needed, delta_at
from shoal.routing.promise import PromiseOptions
from shoal.storage import Asking, Store
from shoal.tasks import Input, Task

_ROOM = 2.0  # times what is needed if all were right: some will not be


class ReviewNeeds(Struct, frozen=True):
    """Reviewed calls below which no attempt can succeed, whatever people say, and how many are
    ``wanted`` before one."""

    fewest: int
    wanted: int


def review_needs(
    task: Task,
    promise: PromiseOptions,
    options: LearnOptions,
    nth: int,
    inputs: Sequence[Input] = (),
) -> ReviewNeeds:
    """What the ``nth`` attempt needs: the recipe with the largest share of its error budget needs
    least, that with the smallest is to be given a chance too.

    Raises:
        LearningError: no recipe can learn the task.
    """
    shares = [recipe.share for recipe in recipes_for(task, inputs, options.fine_tune)]
    delta = delta_at(nth, promise.delta) / sum(shares)
    least, most = (
        clean_examples_needed(promise.alpha, delta * share) for share in (max(shares), min(shares))
    )
    times = HELD_OUT if options.calibration == "held-out" else 1
    return ReviewNeeds(times * least, round(_ROOM * times * most))


def too_few_reviews(reviewed: int, needs: ReviewNeeds, task: str) -> str:
    """What to do where no attempt can succeed yet, whatever people said; "" if one may."""
    if reviewed >= needs.fewest:
        return ""
    return f"need about {needs.wanted - reviewed} more reviewed calls: shoal review {task}"


def asking_of(store: Store, task: str, promise: PromiseOptions) -> Asking:
    """What people are asked of a task, by id: nothing from before its promise was broken."""
    return Asking(promise.audit_rate, store.events.broken_at(task))
