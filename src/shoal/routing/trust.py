"""How far an answer of cheaper models may be trusted: learned from calls that the LLM answered too.

A logistic regression over which voices say the same, how sure the specialist was, what the request
looks like, and what a kernel machine makes of the input's words and meaning. It finds that a model
is right on some inputs without anybody to agree with it, and that two agree on others in error.
What this module does not know: thresholds. A poor estimate costs coverage, never the promise.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import asdict

from shoal.chat import Request
from shoal.errors import ArtifactError
from shoal.routing.signals.learned import Floats, Logistic, fit_logistic, look_of
from shoal.specialists.files import read_model, write_model
from shoal.specialists.machine import KernelMachine
from shoal.specialists.senses import Senses

_MOST_ANSWERS = 20
_OFTEN = 10


class Seen(Struct, frozen=True):
    """What is known of one call when it is to be accepted or passed on.

    ``text`` is the task's input, ``support`` of each voice whether it says the same as the chosen
    answer, None if it says nothing that counts. ``own`` is how sure the specialist was of its
    answer, the first voice; None if no specialist has one. ``answer`` is the chosen one's text.
    ``sure`` is, of each voice that is a vote of samples, the share of these that say what it says;
    None of others.
    """

    request: Request
    text: str
    support: tuple[bool | None, ...]
    own: float | None = None
    answer: str = ""
    sure: tuple[float | None, ...] = ()

    @property
    def share(self) -> float:
        """Of the voices beside the chosen one, how many say the same; of a single voice 1 if it
        counts. Where voices that say it are votes of samples, times how sure these are on the
        average."""
        others = len(self.support) - 1
        same = sum(one is True for one in self.support)
        agreeing = max(0, same - 1) / others if others else float(same)
        votes = [
            sure
            for sure, says in zip(self.sure, self.support, strict=False)
            if sure is not None and says
        ]
        return agreeing * sum(votes) / len(votes) if votes else agreeing


class Trust:
    """The log-odds that the chosen answer is the LLM's."""

    def __init__(
        self,
        machine: KernelMachine,
        model: Logistic,
        senses: Senses | None,
        answers: Sequence[str] = (),
    ) -> None:
        """``answers`` are those common enough to be told apart."""
        self._machine, self._model, self._senses = machine, model, senses
        self._answers = tuple(answers)

    @classmethod
    def train(cls, seen: Sequence[Seen], right: Sequence[bool], senses: Senses | None) -> "Trust":
        """From n calls and whether the chosen answer was the LLM's; ``senses`` None: by words only.

        The machine's part in the features is what it says of an input that it was not trained on,
        as it will be of new ones.

        Raises:
            LearningError: all outcomes are alike.
        """
        wanted = np.where(np.array(right), 1, -1).astype(np.float32)[:, None]
        fitted = KernelMachine.train([each.text for each in seen], wanted, senses)
        answers = _common(seen)
        rows = [
            _row(each, float(score[0]), answers)
            for each, score in zip(seen, fitted.left_out, strict=True)
        ]
        return cls(fitted.machine, fit_logistic(rows, right), senses, answers)

    def scores(self, seen: Sequence[Seen]) -> Floats:
        """(n,) log-odds, -inf where no voice counts."""
        rows = [
            _row(each, float(self._machine.scores(each.text, self._senses)[0]), self._answers)
            for each in seen
        ]
        silent = [True not in each.support for each in seen]
        return np.where(silent, -np.inf, self._model.logits(rows))

    def save(self, folder: Path) -> None:
        """Write its files."""
        model = {
            "logistic": asdict(self._model),
            "machine": self._machine.vocabulary(),
            "answers": self._answers,
        }
        write_model(folder, model, self._machine.arrays())

    @classmethod
    def restore(cls, folder: Path, senses: Senses | None) -> "Trust":
        """Read what ``save`` wrote.

        Raises:
            ArtifactError: the files are damaged.
        """
        model, arrays = read_model(folder)
        try:
            machine = KernelMachine.restore(arrays, model["machine"], 1)
            return cls(machine, Logistic(**model["logistic"]), senses, model["answers"])
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{folder}: its files do not fit: {error!r}") from error


def _common(seen: Sequence[Seen]) -> tuple[str, ...]:
    """The answers given often, the most common first."""
    counts = Counter(each.answer for each in seen if each.answer)
    return tuple(a for a, count in counts.most_common(_MOST_ANSWERS) if count >= _OFTEN)


def _row(seen: Seen, machine: float, answers: Sequence[str]) -> list[float]:
    """Always as many features for as many voices and answers; what else is known also by how many
    of the voices agree, and the machine's word by what the answer is."""
    look = look_of(seen.request)
    voices = [0.0 if one is None else 1.0 if one else -1.0 for one in seen.support]
    own = [] if seen.own is None else [seen.own]
    is_it = [float(seen.answer == each) for each in answers]
    known = [*look, *is_it]
    return [
        seen.share,
        *voices,
        *own,
        machine,
        *known,
        *(seen.share * value for value in known),
        *(machine * value for value in is_it),
    ]
