"""How many calls people must still review before an attempt at a certificate can succeed."""

from shoal.guarantees import clean_examples_needed, delta_at
from shoal.routing.promise import PromiseOptions

_ROOM = 2.0  # times what is needed if all were right: some will not be


def reviews_wanted(promise: PromiseOptions, nth: int) -> int:
    """Reviewed calls wanted before the ``nth`` attempt."""
    return round(_ROOM * clean_examples_needed(promise.alpha, delta_at(nth, promise.delta)))


def too_few_reviews(reviewed: int, promise: PromiseOptions, nth: int, task: str) -> str:
    """What to do where no attempt can succeed yet, whatever people said; "" if one may."""
    if reviewed >= clean_examples_needed(promise.alpha, delta_at(nth, promise.delta)):
        return ""
    more = reviews_wanted(promise, nth) - reviewed
    return f"need about {more} more reviewed calls: shoal review {task}"
