"""A rung of cheaper models: their answer is accepted where its signal reaches what is certified.

It stands between a task's specialist and the LLM, and is certified on the calls that the specialist
passes on, or on all of them while no specialist serves. What the specialist would have said, though
too unsure to be served, counts as one voice. The signal is the share of the voices that agree, or
what was learned of when they are right (``trust``).
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Request, Usage
from shoal.guarantees import Certificate
from shoal.routing.promise import PromiseOptions
from shoal.routing.receipt import Tried
from shoal.routing.rung import Verdict, cut_short, refusal
from shoal.routing.signals.registry import validators_of
from shoal.routing.signals.validators import Validator
from shoal.routing.trust import Seen, Trust
from shoal.specialists.card import Card
from shoal.tasks.answer_label import has_labels
from shoal.tasks.comparator import same
from shoal.tasks.contract import Contract, read
from shoal.tasks.wording import flattened

SILENT = Answer(complete=False)
"""In place of an answer that counts for nothing."""

_STEPS = 10
_OF_VOTES = range(4, _STEPS + 1)  # under four tenths of its samples no vote is worth a test
_LONGEST = 100  # characters of an answer by which it is told from others


def may_agree(promise: PromiseOptions, contract: Contract) -> bool:
    """Whether there can be such a rung: it is proven on the average over answers, against the
    LLM's."""
    return not promise.by_people and not (promise.per_label and has_labels(contract))


class Voices(Struct, frozen=True):
    """What was said of one call whose input is ``text``: by the specialist, if one serves, with
    ``own`` as its signal, then by the models in the order of the certificate."""

    request: Request
    text: str
    answers: tuple[Answer | None, ...]
    own: float | None = None


class Agreed(Struct, frozen=True):
    """The ``chosen`` answer, None if no voice counts, and what is known of it."""

    chosen: Answer | None
    seen: Seen


def shares(voices: int, votes: bool = False) -> tuple[float, ...]:
    """The signals that so many voices can have where at least two agree, or the only one counts;
    ``votes``: as thresholds, where some of the voices are votes of samples."""
    found = tuple(most / (voices - 1) for most in range(1, voices)) if voices > 1 else (1.0,)
    if not votes:
        return found
    return tuple(sorted({round(one * step / _STEPS, 9) for one in found for step in _OF_VOTES}))


def weigh(contract: Contract, voices: Voices, validators: Sequence[Validator] = ()) -> Agreed:
    """The answer that most voices give, the first of those equally common. Only a voice counts that
    keeps the contract, is as short as the caller wants it, and passes the ``validators``."""
    said = [
        one if one is not None and _counts(contract, voices.request, one, validators) else None
        for one in voices.answers
    ]
    chosen: Answer | None = None
    most: tuple[bool | None, ...] = (None,) * len(said)
    for one in said:
        support = tuple(_says(contract, one, other) for other in said)
        if support.count(True) > most.count(True):
            chosen, most = one, support
    said_so = "" if chosen is None else flattened(chosen.text)[:_LONGEST]
    sure = tuple(_sure(one) for one in said)
    return Agreed(chosen, Seen(voices.request, voices.text, most, voices.own, said_so, sure))


def _sure(answer: Answer | None) -> float | None:
    """The share of the samples that say so, of an answer that is a vote; None of another."""
    told = answer.deliberation if answer is not None else None
    return told.agreement if told is not None else None


def _says(contract: Contract, one: Answer | None, other: Answer | None) -> bool | None:
    """Whether the other voice says the same; None if either does not count."""
    if one is None or other is None:
        return None
    return one is other or same(contract, one, other)


def _counts(
    contract: Contract, request: Request, answer: Answer, validators: Sequence[Validator]
) -> bool:
    if read(contract, answer) in (None, "") or cut_short(request, answer):
        return False
    return not any(each.complaint(request, answer) for each in validators)


class AgreementRung(Struct, frozen=True):
    """Serves a call if the signal of the chosen answer reaches the certified threshold.

    ``name`` is "agreement/" and the task's name; the certificate names the ``models`` to ask, and
    the specialist ``after`` which. ``trust`` None: the signal is the share that agrees.
    """

    name: str
    card: Card
    certificate: Certificate
    trust: Trust | None = None

    def refusal(self, request: Request, llm: str, now: float) -> str:
        """Why this request is not the rung's to answer; "" if it is."""
        return refusal(self.card, self.certificate, request, llm, now)

    def passed_over(self, reason: str) -> Tried:
        """The receipt's line for a rung that was not asked."""
        return Tried(self.name, False, reason, certificate=self.certificate.id)

    def judge(self, voices: Voices, asked: Tried) -> Verdict:
        """Accept what may be trusted, or go on. ``asked`` tells when and how long they took.

        Raises:
            ConfigError: the task's comparator, or a validator, is not known here.
        """
        validators = validators_of(self.certificate.validators)
        agreed = weigh(self.card.contract, voices, validators)
        seen = agreed.seen
        signal = seen.share if self.trust is None else float(self.trust.scores([seen])[0])
        line = replace(
            asked,
            answerer=self.name,
            signal=None if agreed.chosen is None else signal,
            threshold=self.certificate.threshold,
            certificate=self.certificate.id,
        )
        names = [*(("the specialist",) if self.certificate.after else ()), *self.certificate.models]
        if agreed.chosen is None:
            return Verdict(None, replace(line, reason=f"no answer of {_listed(names)} counts"))
        said = _told(names, seen.support)
        if not signal >= self.certificate.threshold:  # so that NaN does not pass
            return Verdict(None, replace(line, reason=f"{said}: not enough to go by"))
        answer = replace(
            agreed.chosen, model=self.name, usage=Usage(), body=b"", id="", request_id=""
        )
        return Verdict(answer, replace(line, accepted=True, reason=f"{said}: enough to go by"))


def _told(names: Sequence[str], support: Sequence[bool | None]) -> str:
    """Who said the chosen answer, and who another, or nothing that counts."""
    for_it = [name for name, says in zip(names, support, strict=True) if says]
    others = [name for name, says in zip(names, support, strict=True) if not says]
    return f"{_listed(for_it)} said this" + (f", not {_listed(others)}" if others else "")


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
