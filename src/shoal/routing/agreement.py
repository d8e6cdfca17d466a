"""A rung of cheaper models: where enough of them agree, their answer is accepted.

It stands between a task's specialist and the LLM, and is certified on the calls that the specialist
passes on, or on all of them while no specialist serves. What the specialist would have said, though
too unsure to be served, counts as one voice.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer, Request, Usage
from shoal.guarantees import Certificate
from shoal.routing.receipt import Tried
from shoal.routing.rung import Verdict, cut_short, refusal
from shoal.specialists.card import Card
from shoal.tasks.comparator import same
from shoal.tasks.contract import Contract, read

KIND = "agreement"
"""The kind of the cards of such rungs."""


def agreement_id(task: str) -> str:
    """What certificates, standings and events of a task's agreement are filed under."""
    return f"{task}/{KIND}"


class Agreed(Struct, frozen=True):
    """``signal`` is the share of the other voices that say the same as the ``chosen`` answer, which
    is None if no voice keeps the contract."""

    signal: float
    chosen: Answer | None


def shares(voices: int) -> tuple[float, ...]:
    """The signals of so many voices of which at least two agree."""
    return tuple(most / (voices - 1) for most in range(1, voices))


def weigh(contract: Contract, voices: Sequence[Answer | None]) -> Agreed:
    """The answer that most voices give, the first of those equally common; two voices at least."""
    kept = [v for v in voices if v is not None and read(contract, v) not in (None, "")]
    support = [sum(same(contract, one, other) for other in kept) for one in kept]
    if not kept:
        return Agreed(0.0, None)
    most = max(support)
    return Agreed((most - 1) / max(1, len(voices) - 1), kept[support.index(most)])


class AgreementRung(Struct, frozen=True):
    """Serves a call if the share of voices that agree reaches the certified threshold.

    ``name`` is "agreement/" and the task's name; the certificate names the ``models`` to ask, and
    the specialist ``after`` which.
    """

    name: str
    card: Card
    certificate: Certificate

    def refusal(self, request: Request, llm: str, now: float) -> str:
        """Why this request is not the rung's to answer; "" if it is."""
        return refusal(self.card, self.certificate, request, llm, now)

    def passed_over(self, reason: str) -> Tried:
        """The receipt's line for a rung that was not asked."""
        return Tried(self.name, False, reason, certificate=self.certificate.id)

    def judge(self, voices: Sequence[Answer | None], request: Request, asked: Tried) -> Verdict:
        """Accept what enough voices say, or go on. ``asked`` tells when and how long they took."""
        agreed = weigh(self.card.contract, voices)
        line = replace(
            asked,
            answerer=self.name,
            signal=agreed.signal,
            threshold=self.certificate.threshold,
            certificate=self.certificate.id,
        )
        if agreed.chosen is None or not agreed.signal >= self.certificate.threshold:
            return Verdict(None, replace(line, reason="too few of the models agree"))
        if cut_short(request, agreed.chosen):
            return Verdict(None, replace(line, reason="the caller wants it shorter"))
        answer = replace(
            agreed.chosen, model=self.name, usage=Usage(), body=b"", id="", request_id=""
        )
        return Verdict(answer, replace(line, accepted=True, reason="enough of the models agree"))
