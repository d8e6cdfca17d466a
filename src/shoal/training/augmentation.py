"""More examples of rare labels, written by an LLM.

What it writes is marked: it trains, and never validates, calibrates or counts as evidence.
"""

import re
from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from shoal.chat import Answerer, Message, Request
from shoal.errors import EngineError, ShoalError
from shoal.tasks import Input, LabelContract, Output
from shoal.training.hints import Hint

_SHOWN = 5  # examples of a label that the LLM is shown
_PROMPT = """\
Here are messages that all belong to the category "{label}":

{examples}

Write {count} new messages that belong to the same category, each as another person would put it. \
Vary wording, length and detail; keep the meaning within the category. One message a line, no \
numbering, nothing else."""
_MARK = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


class Augmented(Struct, frozen=True):
    """What was made up: ``inputs``, ``outputs`` and ``hints`` go behind the real examples.

    ``asked`` is how many the LLM was asked for, ``calls`` in how many calls, ``repeated`` how many
    of its lines were known already and dropped; ``stopped`` why it was not asked for more, "" if it
    was asked for all.
    """

    inputs: tuple[Input, ...] = ()
    outputs: tuple[str, ...] = ()
    calls: int = 0
    asked: int = 0
    repeated: int = 0
    stopped: str = ""

    @property
    def hints(self) -> tuple[Hint, ...]:
        """They train, and never judge."""
        return (Hint(augmented=True),) * len(self.inputs)

    def told(self) -> str:
        """A line for a report."""
        made = (
            f"{len(self.inputs)} examples made up by the LLM in {self.calls} calls "
            f"({self.asked} asked for, {self.repeated} repeated and dropped)"
        )
        return f"{made}; no more, because {self.stopped}" if self.stopped else made


async def augment(
    answerer: Answerer,
    model: str,
    contract: LabelContract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    most: int,
    least: int = 20,
) -> Augmented:
    """Ask for messages until each label that occurs has ``least`` examples, one call a rare label,
    the rarest first, and for no more than ``most`` in all.

    ``inputs`` and ``outputs`` (n,) are the training examples only, never those that calibrate. A
    label that may not be asked for is passed over; an engine that fails is not asked again.
    """
    counts = Counter(output for output in outputs if isinstance(output, str))
    known = {_plain(given.text) for given in inputs}
    made: list[tuple[str, str]] = []
    calls = asked = repeated = 0
    stopped = ""
    for label in sorted(filter(counts.get, contract.labels), key=counts.__getitem__):
        missing = min(least - counts[label], most - asked)
        if missing <= 0:
            break
        pairs = zip(inputs, outputs, strict=True)
        shown = [given.text for given, output in pairs if output == label][:_SHOWN]
        try:
            answer = await answerer.answer(_request(model, label, shown, missing))
        except ShoalError as error:
            stopped = stopped or str(error)
            if isinstance(error, EngineError):
                break
            continue
        calls, asked = calls + 1, asked + missing
        written = _messages(answer.text) if answer.complete and not answer.refusal else []
        for text in written[:missing]:
            if _plain(text) in known:
                repeated += 1
                continue
            known.add(_plain(text))
            made.append((text, label))
    found, labels = tuple(Input(text) for text, _ in made), tuple(label for _, label in made)
    return Augmented(found, labels, calls, asked, repeated, stopped)


def _request(model: str, label: str, shown: Sequence[str], count: int) -> Request:
    examples = "\n".join(f"- {' '.join(text.split())}" for text in shown)
    prompt = _PROMPT.format(label=label, examples=examples, count=count)
    return Request(model=model, messages=(Message(role="user", text=prompt),))


def _messages(text: str) -> list[str]:
    lines = (_MARK.sub("", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _plain(text: str) -> str:
    """Equal for texts that differ in case, signs and spaces only."""
    return " ".join(re.findall(r"\w+", text.casefold()))
