"""The certificate: what a rung promises, what it was measured on, and what it does not promise."""

import math
from datetime import UTC, datetime
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from shoal.errors import StoreError
from shoal.guarantees.by_label import LabelProof
from shoal.guarantees.shares import percent
from shoal.guarantees.slices import By, Slice, worst

Method = Literal["held-out", "cross-fitted"]

EXCHANGEABLE = (
    "that future calls resemble the examples: they are taken to be exchangeable; if the traffic "
    "changes, the promise is void until audits notice"
)
REFERENCE = (
    "that {reference} is right: the promise is about agreement with it, and its own errors are "
    "not counted"
)
DRIFT = (
    "that a break is noticed at once: between audits a change goes unseen; audits are drawn at "
    "random and demote the specialist when they disagree too often"
)
ONE_BY_ONE = (
    "anything about a single answer or a chosen kind of call: the bound is on the average over all "
    "answers the specialist accepts"
)
PEOPLE = "people"
REVIEWED = (
    "that people are right: the promise is about agreement with what they said of calls that were "
    "drawn at random for them, and their own errors are not counted"
)
REVIEWED_LATE = (
    "that a break is noticed at once: served calls are drawn at random for people to judge, and "
    "demote the specialist when they disagree too often; until they do, a change goes unseen"
)
CROSS_FITTED = (
    "that the confidence is exact for this sample: the scores are cross-fitted (each example was "
    "scored by a model that had not seen it), so the bound holds for large samples and stable "
    "training, not for every n (Bayle et al. 2020; Bousquet & Elisseeff 2002)"
)


class PeopleCheck(Struct, frozen=True):
    """Accepted calls that people judged: ``errors`` of ``n`` wrong, with an exact upper bound.

    People pick what they judge, so this is a biased sample and no part of the promise.
    """

    n: int
    errors: int
    risk_bound: float


class Certificate(Struct, frozen=True, kw_only=True):
    """The written proof for one rung. Immutable: a new look makes a new certificate.

    Among the calls whose signal is at or above ``threshold``, the share that differs from the
    ``reference``, by the ``comparator``, is at most ``alpha`` with ``confidence``. Of ``n``
    calibration examples ``accepted`` lay there, ``errors`` of them wrong, ``risk_bound`` being
    their upper bound. ``confidence`` belongs to the task's whole history of attempts;
    ``delta_spent`` is the part of ``1 - confidence`` that this ``attempt`` used up. ``coverage`` is
    the share accepted, with its interval. ``assumptions`` say what is not promised,
    ``self_agreement`` how often the reference agrees with itself (None if not measured).
    ``specialist`` is the id of its card; times are Unix seconds. For a rung on which cheaper models
    agree, ``models`` are these, ``signal`` is what the threshold is on, ``validators`` what their
    answers had to pass, ``sampling`` how those of them that have a strategy were asked, and
    ``after`` is the card of the specialist whose leftovers it was measured on, "" for all calls.
    With ``labels`` the promise holds for each label by itself, at a
    threshold of its own, and other labels are not served; None: it holds for the average.
    ``slices`` say where the errors were, and promise nothing. Of the ``n`` reference answers
    ``unread`` broke the contract; ``versions`` are the names that the provider gave them. The
    specialist also learned from ``made_up`` examples of an LLM, none of which is among the ``n``.
    ``by_people``: the reference are people's answers to calls drawn for review, not an LLM's.

    Raises:
        ValueError: the figures contradict each other, or scores are cross-fitted and the
            assumptions do not say so.
    """

    id: str
    task: str
    specialist: str
    alpha: float
    confidence: float
    delta_spent: float
    attempt: int
    threshold: float
    n: int
    accepted: int
    errors: int
    risk_bound: float
    coverage: float
    coverage_low: float
    coverage_high: float
    reference: str
    comparator: str
    method: Method
    data_digest: str
    assumptions: tuple[str, ...]
    people: PeopleCheck | None = None
    self_agreement: float | None = None
    issued_at: float
    lapses_at: float
    models: tuple[str, ...] = ()
    after: str = ""
    labels: tuple[LabelProof, ...] | None = None
    slices: tuple[Slice, ...] = ()
    unread: int = 0
    versions: tuple[str, ...] = ()
    signal: str = ""
    validators: tuple[str, ...] = ()
    sampling: str = ""
    by_people: bool = False
    made_up: int = 0

    def __post_init__(self) -> None:
        for holds, rule in (
            (0.0 < self.alpha < 1.0 and 0.0 < self.confidence < 1.0, "alpha, confidence in (0, 1)"),
            (0.0 < self.delta_spent <= 1.0 - self.confidence + 1e-12, "delta_spent in the budget"),
            (0 <= self.errors <= self.accepted <= self.n, "errors <= accepted <= n"),
            (self.risk_bound <= self.alpha, "risk_bound <= alpha"),
            (self.coverage_low <= self.coverage <= self.coverage_high, "coverage in its interval"),
            (self.issued_at < self.lapses_at, "issued_at before lapses_at"),
            (
                self.method != "cross-fitted" or CROSS_FITTED in self.assumptions,
                "CROSS_FITTED said",
            ),
        ):
            if not holds:
                raise ValueError(f"certificate {self.id}: {rule} does not hold")

    def threshold_of(self, label: str | None) -> float:
        """The signal that an answer with this label needs; infinity if it is not to be served."""
        if self.labels is None:
            return self.threshold
        found = (proof.threshold for proof in self.labels if proof.label == label)
        return next(found, math.inf)

    @property
    def served_labels(self) -> tuple[str, ...]:
        """The labels promised by themselves; none where the promise is on the average."""
        return tuple(proof.label for proof in self.labels or ())

    @property
    def promise(self) -> str:
        """What it promises, in a sentence or two."""
        return (
            f"of the answers it gives itself, at most {percent(self.alpha)} differ from "
            f"{self.reference}, with {percent(self.confidence)} confidence. "
            f"Answers are compared by: {self.comparator}."
        )

    def worst_slices(self) -> tuple[Slice, ...]:
        """The worst slice by label, by length and by time, as far as each was looked at."""
        found = (worst(self.slices, by) for by in get_args(By))
        return tuple(part for part in found if part is not None)

    def lapsed(self, now: float) -> bool:
        """Whether it is no longer valid at ``now`` (Unix seconds)."""
        return now >= self.lapses_at

    def to_json(self) -> bytes:
        """As JSON, with the fields in the order in which they are declared."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes | str) -> "Certificate":
        """Read what ``to_json`` wrote.

        Raises:
            StoreError: not JSON, or not a certificate; says which field.
        """
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise StoreError(
                f"not a certificate: {error}; certify the task again (shoal certify TASK)"
            ) from error

    def describe(self) -> str:
        """The certificate in plain words, several lines.

        >>> certificate = Certificate(
        ...     id="c-1", task="department", specialist="label-7", alpha=0.05, confidence=0.95,
        ...     delta_spent=0.0304, attempt=1, threshold=0.83, n=1000, accepted=712, errors=19,
        ...     risk_bound=0.0413, coverage=0.712, coverage_low=0.683, coverage_high=0.74,
        ...     reference="gpt-4o-mini (recorded)", comparator="equal label", method="held-out",
        ...     data_digest="sha256:0a1b",
        ...     assumptions=assumptions_of("held-out", "gpt-4o-mini (recorded)"),
        ...     people=PeopleCheck(n=40, errors=1, risk_bound=0.113), self_agreement=0.96,
        ...     issued_at=1735689600.0, lapses_at=1738281600.0,
        ... )
        >>> print(certificate.describe())  # doctest: +NORMALIZE_WHITESPACE
        Certificate c-1: specialist label-7 for the task department.
        Promise: of the answers it gives itself, at most 5 % differ from gpt-4o-mini (recorded),
        with 95 % confidence. Answers are compared by: equal label.
        It answers about 71.2 % of the calls (68.3 % to 74 %); the rest go on to the LLM.
        Measured on 1000 held-out examples: it would have answered 712, of which 19 differed
        (2.67 %; upper bound 4.13 %).
        gpt-4o-mini (recorded) agrees with itself 96 % of the time.
        People judged 40 of its answers and found 1 wrong (upper bound 11.3 %); people choose what
        they judge, so this is a biased sample and no part of the promise.
        Not promised:
        - that future calls resemble the examples: they are taken to be exchangeable; if the
        traffic changes, the promise is void until audits notice
        - that gpt-4o-mini (recorded) is right: the promise is about agreement with it, and its
        own errors are not counted
        - that a break is noticed at once: between audits a change goes unseen; audits are drawn
        at random and demote the specialist when they disagree too often
        - anything about a single answer or a chosen kind of call: the bound is on the average
        over all answers the specialist accepts
        Attempt 1 of this task, which spent 3.04 % of the 5 % error budget. Data: sha256:0a1b.
        Valid from 2025-01-01 00:00 UTC until 2025-01-31 00:00 UTC.
        """
        return "\n".join(
            (
                *self._promise(),
                *self._checks(),
                *self._taught(),
                *self._where(),
                "Not promised:",
                *(f"- {assumption}" for assumption in self.assumptions),
                f"Attempt {self.attempt} of this task, which spent {percent(self.delta_spent)} of "
                f"the {percent(1.0 - self.confidence)} error budget. Data: {self.data_digest}.",
                f"Valid from {_utc(self.issued_at)} until {_utc(self.lapses_at)}.",
            )
        )

    def _promise(self) -> tuple[str, ...]:
        measured = percent(self.errors / self.accepted) if self.accepted else "none"
        return (
            f"Certificate {self.id}: {self._who()} for the task {self.task}.",
            f"Promise: {self.promise}",
            f"It answers about {percent(self.coverage)} of the calls "
            f"({percent(self.coverage_low)} to {percent(self.coverage_high)}); "
            "the rest go on to the LLM.",
            f"Measured on {self.n} {self.method} examples: it would have answered {self.accepted}, "
            f"of which {self.errors} differed ({measured}; "
            f"upper bound {percent(self.risk_bound)}).",
            *self._signal(),
        )

    def _signal(self) -> tuple[str, ...]:
        """Of a rung of cheaper models: by what it accepts, and what answers had to pass."""
        if not self.models:
            return ()
        passed = f" Answers count that pass: {', '.join(self.validators)}." * bool(self.validators)
        return (f"Signal: {self.signal or 'share of the voices that agree'}.{passed}",)

    def _who(self) -> str:
        if not self.models:
            return f"specialist {self.specialist}"
        names = ", ".join(self.models)
        voices = f"agreement of {names}" if len(self.models) > 1 or self.after else names
        return f"{voices}, after specialist {self.after}," if self.after else voices

    def _where(self) -> tuple[str, ...]:
        """Which labels are served, and where the errors were."""
        lines = []
        if self.labels is not None:
            names = ", ".join(proof.label for proof in self.labels)
            lines.append(
                f"The promise holds for each of these labels by itself, each at a threshold of its "
                f"own; no other is served: {names}."
            )
        found = self.worst_slices()
        if found:
            lines.append("Where it was worst (looked at, not promised):")
        lines += [
            f"- by {part.by}: {part.name}, {part.errors} of {part.accepted} differed "
            f"({percent(part.errors / part.accepted)}; alone, at most {percent(part.risk_high)})"
            for part in found
        ]
        return tuple(lines)

    def _checks(self) -> tuple[str, ...]:
        if self.by_people:
            return ("The reference is what people said of calls drawn at random for them.",)
        itself, people = self.self_agreement, self.people
        return (
            f"{self.reference} agrees with itself {percent(itself)} of the time."
            if itself is not None
            else f"How often {self.reference} agrees with itself was not measured.",
            f"People judged {people.n} of its answers and found {people.errors} wrong "
            f"(upper bound {percent(people.risk_bound)}); people choose what they judge, so this "
            "is a biased sample and no part of the promise."
            if people is not None
            else "No answer of it has been judged by people.",
        )

    def _taught(self) -> tuple[str, ...]:
        if not self.made_up:
            return ()
        return (
            f"It also learned from {self.made_up} examples that the LLM made up; none of them is "
            "among those it was measured on.",
        )


def assumptions_of(method: Method, reference: str, by_people: bool = False) -> tuple[str, ...]:
    """What a certificate does not promise, each line readable after "Not promised:"."""
    watched = (
        (REVIEWED, REVIEWED_LATE) if by_people else (REFERENCE.format(reference=reference), DRIFT)
    )
    common = (EXCHANGEABLE, *watched, ONE_BY_ONE)
    return (*common, CROSS_FITTED) if method == "cross-fitted" else common


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
