"""Which of the cheaper models to ask: the cheapest of them that can be certified.

Models that agree with each other are one way, one model whose samples agree another: a model with
a strategy (``granite+vote:5``) has a signal of its own. Where there is one, each model is tried by
itself, in the order of ``shoal.toml`` (the cheapest first), and then all of them together; what the
attempt may spend is divided among these, so that the promise holds whichever is kept (union bound).
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from shoal.chat import Answer
from shoal.flywheel.agreement_trial import Proven, attempt_agreement, is_wrong
from shoal.flywheel.trial import WORTH_A_STEP, LadderStep
from shoal.guarantees import Refusal
from shoal.reasoning import split_name
from shoal.routing.agreement import Agreed, Voices, weigh
from shoal.routing.signals.validators import Validator
from shoal.specialists.senses import Senses
from shoal.storage import Example
from shoal.tasks import Contract


class Heard(Struct, frozen=True):
    """One example: what each voice said, and the LLM's answer. ``together`` names the conversation
    of which it is a step, "" where calls are no steps."""

    example: Example
    voices: Voices
    reference: Answer
    together: str = ""


class Choir(Struct, frozen=True):
    """``models`` that are asked together: what was ``heard`` of them, what they ``agreed`` on, and
    whether that is ``wrong``, one for each example."""

    models: tuple[str, ...]
    heard: tuple[Heard, ...]
    agreed: tuple[Agreed, ...]
    wrong: tuple[bool, ...]

    @property
    def right(self) -> float:
        """The share of the examples on which it says what the LLM does."""
        return 1 - sum(self.wrong) / len(self.wrong)


class Found(Struct, frozen=True):
    """The ``choir`` to ask and what was ``proven`` of it; both None: nothing was, for the
    ``refusals``. ``ladder`` are all that were tried."""

    choir: Choir | None
    proven: Proven | None
    refusals: tuple[tuple[str, Refusal], ...]
    ladder: tuple[LadderStep, ...]


def choices(models: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The sets of models that are tried, the cheapest first.

    >>> choices(["ann", "bob"])
    (('ann', 'bob'),)
    >>> choices(["ann", "ann+vote:5"])
    (('ann',), ('ann+vote:5',), ('ann', 'ann+vote:5'))
    """
    if not any(split_name(name) for name in models):
        return (tuple(models),)
    alone = tuple((name,) for name in models)
    return alone if len(models) == 1 else (*alone, tuple(models))


def cheapest(
    models: Sequence[str],
    contract: Contract,
    heard: Sequence[Heard],
    validators: Sequence[Validator],
    alpha: float,
    delta: float,
    senses: Senses | None,
) -> Found:
    """Certify the cheapest set that can be: a dearer one is kept where it covers clearly more.

    ``heard`` holds the voices of all ``models``, in order, after that of a specialist where one
    serves; ``delta`` is what the attempt may spend.

    Raises:
        ConfigError: a comparator is not known here.
    """
    tried = choices(models)
    names_of = [each.together for each in heard]
    together = names_of if any(names_of) else None
    refusals, ladder = list[tuple[str, Refusal]](), list[LadderStep]()
    best: tuple[Choir, Proven] | None = None
    for names in tried:
        choir = _choir(names, models, contract, heard, validators)
        seen = [one.seen for one in choir.agreed]
        part = delta / len(tried)
        found = attempt_agreement(seen, choir.wrong, alpha, part, senses, together)
        of = f" of {', '.join(names)}" if len(tried) > 1 else ""
        ladder += [replace(step, recipe=f"{step.recipe}{of}") for step in found.ladder]
        refusals += [(f"{signal}{of}", refusal) for signal, refusal in found.refusals]
        if found.proven is None:
            continue
        covers = found.proven.selection.coverage
        if best is None or covers >= best[1].selection.coverage + WORTH_A_STEP:
            best = choir, found.proven
    choir, proven = best or (None, None)  # type: ignore[assignment]
    return Found(choir, proven, tuple(refusals), tuple(ladder))


def _choir(
    names: Sequence[str],
    models: Sequence[str],
    contract: Contract,
    heard: Sequence[Heard],
    validators: Sequence[Validator],
) -> Choir:
    kept = tuple(replace(each, voices=_of(each.voices, names, models)) for each in heard)
    agreed = tuple(weigh(contract, each.voices, validators) for each in kept)
    pairs = zip(agreed, kept, strict=True)
    wrong = tuple(is_wrong(contract, one, each.reference) for one, each in pairs)
    return Choir(tuple(names), kept, agreed, wrong)


def _of(voices: Voices, names: Sequence[str], models: Sequence[str]) -> Voices:
    """The voices of some of the models, and the specialist's, if it has one."""
    first = len(voices.answers) - len(models)
    asked = [voices.answers[first + at] for at, name in enumerate(models) if name in names]
    return replace(voices, answers=(*voices.answers[:first], *asked))
