"""Whether something makes a collection's search better: tried on questions whose right passages are
known and that trained nothing, and put in writing.

Both searches answer each of them; it is gained if the first right passage stands higher among the
first ten than before, lost if lower. The exact sign test on these counts (``guarantees.paired``)
decides, each attempt at its share of the error budget (``guarantees.budget``), and an attempt is
counted before its questions are looked at, so that no stop in between makes it free.
"""

import math
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from shoal.errors import StoreError
from shoal.guarantees.bounds import lower_bound, upper_bound
from shoal.guarantees.budget import delta_at
from shoal.guarantees.paired import Paired
from shoal.guarantees.shares import percent
from shoal.retrieval.documents import Hit
from shoal.retrieval.known_answers import CALIBRATES, Resolved

DELTA = 0.05
FIRST = 10  # hits that are looked at
CERTIFICATE = "certificate.json"
_ATTEMPTS = "attempts.json"

ASSUMPTIONS = (
    "that future questions resemble those that were asked here, or that the collection stays much "
    "as it was",
    "how much better it is, or anything about a single question: only that it gains at more "
    "questions than it loses",
    "that passages nobody named as right are wrong: a better one that was not named counts against "
    "it",
)

Searching = Callable[[str], Sequence[Hit]]


class GainCertificate(Struct, frozen=True, kw_only=True):
    """That ``what`` ("adapter", "reranker") makes the search of a collection better.

    At ``n`` questions that it had not learned from it ``gained`` and ``lost``; with ``confidence``
    at least the share ``bound`` of those that differ are gains, which is 1/2 or more. ``before``
    and ``after`` are mean reciprocal ranks up to ten. It learned from ``trained_on`` questions;
    ``data_digest`` is of all of them with what was called right, ``encoder`` whose vectors it
    reads, ``model`` the digest of its files. ``adapter`` is that of the adapter that both searches
    used, "" for none; the certificate is for a search with that one. ``attempt`` spent
    ``delta_spent`` of 1 - confidence. Of the ``n`` questions ``judged`` ones have their right
    passages from models, ``judges``, and not from people.

    Raises:
        ValueError: the figures contradict each other.
    """

    what: str
    collection: str
    n: int
    gained: int
    lost: int
    bound: float
    before: float
    after: float
    confidence: float
    attempt: int
    delta_spent: float
    trained_on: int
    data_digest: str
    encoder: str
    model: str
    issued_at: float
    adapter: str = ""
    judged: int = 0
    judges: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ASSUMPTIONS

    def __post_init__(self) -> None:
        if not Paired(self.n, self.gained, self.lost).shows_gain(self.delta_spent):
            raise ValueError(f"{self.gained} gained and {self.lost} lost show no gain")

    def describe(self) -> str:
        """What it promises, and what not, in words."""
        at = datetime.fromtimestamp(self.issued_at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        lines = (
            f"Certificate: the {self.what} makes the search of {self.collection} better, with "
            f"{percent(self.confidence)} confidence.",
            f"At {self.n} questions that it had not learned from, the first right passage stood "
            f"higher at {self.gained} and lower at {self.lost} (gains among them: at least "
            f"{percent(self.bound)}). Mean reciprocal rank: {self.before:.3f} before, "
            f"{self.after:.3f} after.",
            *self._by_models(),
            "Not promised:",
            *(f"- {one}" for one in self.assumptions),
            f"Attempt {self.attempt}, which spent {percent(self.delta_spent)} of the "
            f"{percent(1 - self.confidence)} error budget; it learned from {self.trained_on} "
            f"questions. Data: {self.data_digest[:19]}. Issued {at}.",
        )
        if self.adapter:
            beneath = f"Tested over the adapter {self.adapter[:16]}; over another it lapses."
            lines = (*lines, beneath)
        return "\n".join(lines)

    def _by_models(self) -> tuple[str, ...]:
        if not self.judged:
            return ()
        by = " and ".join(self.judges)
        return (f"Which passages are right, {by} said at {self.judged} of them, and may err.",)


class NoGain(Struct, frozen=True, kw_only=True):
    """Why there is no certificate. ``needed`` more known questions might bring one, by the shares
    seen; None if that cannot be told."""

    reason: str
    needed: int | None
    attempt: int = 0
    tried: Paired = Paired(0, 0, 0)

    def describe(self) -> str:
        """In words."""
        more = "" if self.needed is None else f" About {self.needed:,} more would show it."
        return f"Not used: {self.reason}{more}"


class Trial(Struct, frozen=True):
    """What came out at n questions: the counts, and the mean reciprocal ranks."""

    paired: Paired
    before: float
    after: float


def tried(questions: Sequence[Resolved], before: Searching, after: Searching) -> Trial:
    """Ask both."""
    old = [reciprocal_rank(before(one.question), one.right) for one in questions]
    new = [reciprocal_rank(after(one.question), one.right) for one in questions]
    gained = sum(b > a for a, b in zip(old, new, strict=True))
    lost = sum(b < a for a, b in zip(old, new, strict=True))
    n = len(questions)
    return Trial(Paired(n, gained, lost), sum(old) / max(n, 1), sum(new) / max(n, 1))


def reciprocal_rank(hits: Sequence[Hit], right: frozenset[int]) -> float:
    """1 over the place of the first right passage among the first ten; 0 if there is none."""
    for place, hit in enumerate(hits[:FIRST], start=1):
        if hit.passage.number in right:
            return 1 / place
    return 0.0


def too_few(calibrating: int, attempt: int, delta: float = DELTA) -> NoGain | None:
    """Said before an attempt is spent on what cannot succeed, however good it is."""
    fewest = math.ceil(-math.log2(delta_at(attempt, delta)))
    if calibrating >= fewest:
        return None
    more = math.ceil((fewest - calibrating) / CALIBRATES)
    reason = (
        f"{calibrating} questions are held back to test it, and even if all of them gained, "
        f"{fewest} would be needed. No attempt was spent."
    )
    return NoGain(reason=reason, needed=more)


def unpromising(found: Paired, wanted: int | None, calibrating: int) -> NoGain:
    """Said before an attempt is spent on what gained little at the questions that train, each
    answered without having learned from it; ``wanted`` would have to be held back."""
    reason = (
        f"of {found.n} questions that train, each asked of what had learned from the others, "
        f"{found.gained} came out better and {found.lost} worse, so that a test on the "
        f"{calibrating} held back has little prospect. No attempt was spent."
    )
    if wanted is None:
        reason += " More questions would not show a gain if they came out as these did."
    more = None if wanted is None else max(1, math.ceil((wanted - calibrating) / CALIBRATES))
    return NoGain(reason=reason, needed=more, tried=found)


def refusal(trial: Trial, attempt: int, delta: float = DELTA) -> NoGain:
    """Why the attempt came to nothing, and what the next would need."""
    found = trial.paired
    reason = (
        f"at {found.n} questions that it had not learned from, the first right passage stood "
        f"higher at {found.gained} and lower at {found.lost}, which may be chance "
        f"(p = {found.p_value:.3f}; attempt {attempt} needed {delta_at(attempt, delta):.4f}). "
        f"{_interval(found)}Mean reciprocal rank: {trial.before:.3f} before, {trial.after:.3f} "
        "after."
    )
    wanted = found.needed(delta_at(attempt + 1, delta))
    if wanted is None:
        reason += " More questions would not show a gain if they came out as these did."
    more = None if wanted is None else math.ceil((wanted - found.n) / CALIBRATES)
    return NoGain(reason=reason, needed=more, attempt=attempt, tried=found)


def _interval(found: Paired) -> str:
    if not found.differ:
        return ""
    low = lower_bound(found.gained, found.differ, DELTA / 2)
    high = upper_bound(found.gained, found.differ, DELTA / 2)
    return (
        f"Of those that differ, {percent(low)} to {percent(high)} may be gains, with "
        f"{percent(1 - DELTA)} confidence. "
    )


def next_attempt(folder: Path) -> int:
    """The number of the attempt that would come next, from 1.

    Raises:
        StoreError: the count of attempts cannot be read; it is not begun anew.
    """
    path = folder / _ATTEMPTS
    try:
        return msgspec.json.decode(path.read_bytes(), type=int) + 1
    except FileNotFoundError:
        return 1
    except (OSError, msgspec.DecodeError) as error:
        raise StoreError(f"{path}: cannot be read: {error}") from error


def begin_attempt(folder: Path) -> int:
    """Count an attempt, on disk, and give its number.

    Raises:
        StoreError: it cannot be read or written.
    """
    attempt = next_attempt(folder)
    replace_file(folder / _ATTEMPTS, msgspec.json.encode(attempt))
    return attempt


def files_of_gain(folder: Path) -> list[Path]:
    """What there is in a folder of certificates: the one in force, and the count of attempts."""
    return [path for name in (CERTIFICATE, _ATTEMPTS) if (path := folder / name).is_file()]


def replace_file(path: Path, data: bytes) -> None:
    """All or nothing, and on disk when it returns.

    Raises:
        StoreError: it cannot be written; what was there stays.
    """
    written = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        written.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error}") from error
