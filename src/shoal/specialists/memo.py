"""Kind ``memo``: an input seen before, with an answer that was stable, gets that answer again.

Inputs are the same if their texts are, but for case, spacing and Unicode's compatible forms. The
signal rises with the number of sightings that agree and falls with those that do not; any other
input gets no answer. It is certified like any specialist: an example is judged by its other
sightings alone, its own answer does not count.

What it does not know: what an input means. The files hold digests of inputs, not their texts.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from shoal.chat import ToolCall
from shoal.errors import ArtifactError, LearningError
from shoal.specialists.files import write_model
from shoal.specialists.kind import BY_TUNING, Kind, Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Trained
from shoal.tasks.comparator import same
from shoal.tasks.contract import (
    CallContract,
    Contract,
    LabelsContract,
    Output,
    is_closed,
    written,
)
from shoal.tasks.describe import explain
from shoal.tasks.input import Input
from shoal.tasks.wording import flattened

SIGHTINGS = 2
"""Sightings that must agree before an answer is given again."""

MOST_INPUTS = 50_000
"""Kept at the most: those seen most often, and of them the newest."""

WORTH_A_TRY = 0.1
"""Share of the inputs that must have been seen ``SIGHTINGS`` times before."""

_NOTHING = Prediction(None, 0.0)


class Memory(NamedTuple):
    """The usual answer to one input: ``agreeing`` of its ``seen`` sightings gave it."""

    output: Output
    agreeing: int
    seen: int

    @property
    def signal(self) -> float:
        """Mean of the Beta posterior after Jeffreys' prior: of the probability that the next
        sighting agrees."""
        return (self.agreeing + 0.5) / (self.seen + 1)


class MemoSpecialist:
    """A dictionary from digests of inputs to memories."""

    kind = "memo"

    def __init__(self, memories: dict[str, Memory], recipe: str) -> None:
        self.recipe = recipe
        self._memories = memories

    def predict(self, given: Input) -> Prediction:
        """The usual answer to this input, or none; some 10 µs."""
        memory = self._memories.get(digest_of(given))
        return _NOTHING if memory is None else Prediction(memory.output, memory.signal)

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """How often the input was seen with this answer, and with others."""
        memory = self._memories.get(digest_of(given))
        if memory is None:
            return ()
        others = memory.seen - memory.agreeing
        found = [Reason("sightings with this answer", float(memory.agreeing))]
        found += [Reason("sightings with another", -float(others))] if others else []
        return tuple(sorted(found, key=lambda reason: -abs(reason.weight)))

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        counts = [(memory.agreeing, memory.seen) for memory in self._memories.values()]
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "digests": list(self._memories),
            "outputs": [msgspec.to_builtins(memory.output) for memory in self._memories.values()],
        }
        write_model(folder, model, {"counts": np.array(counts, np.int64).reshape(-1, 2)})


def restore_memo(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> MemoSpecialist:
    """The specialist that ``save`` wrote."""
    digests, outputs, counts = model["digests"], model["outputs"], arrays["counts"]
    if not len(digests) == len(outputs) == len(counts):
        raise ArtifactError("the memo's inputs and answers differ in number: train it again")
    memories = {
        digest: Memory(_output(contract, output), int(agreeing), int(seen))
        for digest, output, (agreeing, seen) in zip(digests, outputs, counts, strict=True)
    }
    return MemoSpecialist(memories, model["recipe"])


def train_memo(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses | None,
    recipe: Recipe,
) -> Trained:
    """Remember inputs and reference outputs; None where the reference breaks the contract: such a
    sighting agrees with nothing.

    Raises:
        LearningError: no input has been answered alike often enough.
    """
    sightings: dict[str, list[int]] = defaultdict(list)
    digests = [digest_of(given) for given in inputs]
    for row, digest in enumerate(digests):
        sightings[digest].append(row)
    memories: dict[str, Memory] = {}
    left_out = [_NOTHING] * len(inputs)
    for digest, rows in sightings.items():
        answers = [outputs[row] for row in rows]
        forms = _forms(contract, answers)
        memory = _recall(answers, forms, Counter(forms))
        if memory is not None:
            memories[digest] = memory
        for row, unseen in zip(rows, _without_each(answers, forms), strict=True):
            left_out[row] = unseen
    if not memories:
        raise LearningError(f"no input was answered alike {SIGHTINGS} times: nothing to remember")
    newest = {digest: rows[-1] for digest, rows in sightings.items()}
    kept = sorted(memories, key=lambda digest: (-memories[digest].seen, -newest[digest]))
    kept = kept[:MOST_INPUTS]
    return Trained(MemoSpecialist({key: memories[key] for key in kept}, recipe.name), left_out)


def digest_of(given: Input) -> str:
    """32 hex digits, equal for inputs that count as the same."""
    text = flattened(given.text).encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=16).hexdigest()


def _forms(contract: Contract, answers: Sequence[Output | None]) -> list[int]:
    """For each answer the number of the first that is the same by the contract's comparator, -1
    for those that break the contract."""
    first: list[tuple[int, Output]] = []
    known: dict[bytes, int] = {}
    forms = []
    for row, answer in enumerate(answers):
        if answer is None:
            forms.append(-1)
            continue
        spelt = msgspec.json.encode(answer)
        if spelt not in known:
            now = written(contract, answer)
            alike = (at for at, other in first if same(contract, written(contract, other), now))
            known[spelt] = next(alike, row)
            if known[spelt] == row:
                first.append((row, answer))
        forms.append(known[spelt])
    return forms


def _recall(
    answers: Sequence[Output | None], forms: Sequence[int], counts: Counter[int]
) -> Memory | None:
    """The usual answer, if it was seen often enough; of two as usual, the one seen first."""
    agreeing, negative = max(
        ((n, -form) for form, n in counts.items() if form >= 0), default=(0, 0)
    )
    if agreeing < SIGHTINGS:
        return None
    output = answers[-negative]
    assert output is not None
    return Memory(output, agreeing, counts.total())


def _without_each(answers: Sequence[Output | None], forms: Sequence[int]) -> list[Prediction]:
    """For each sighting of one input what all the others would have it answered.

    The others of a form are alike but for the one left out, so each form is counted once."""
    counts = Counter(forms)
    found: dict[int, Prediction] = {}
    for form in counts:
        counts[form] -= 1
        memory = _recall(answers, forms, +counts)
        found[form] = _NOTHING if memory is None else Prediction(memory.output, memory.signal)
        counts[form] += 1
    return [found[form] for form in forms]


def _output(contract: Contract, plain: Any) -> Output:
    """An output as JSON gives it back -> the output."""
    match contract:
        case CallContract() if not isinstance(plain, str):
            found: Output = msgspec.convert(plain, tuple[ToolCall, ...])
        case LabelsContract():
            found = tuple(plain)
        case _:
            found = plain
    written(contract, found)  # raises ValueError if the file does not fit the contract
    return found


def _fits(contract: Contract) -> bool:
    return True


def _refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    """Judged by the inputs alone: a look at the answers would have to be paid for."""
    counts = Counter(map(digest_of, inputs))
    again = sum(count for count in counts.values() if count > SIGHTINGS)
    if inputs and again >= WORTH_A_TRY * len(inputs):
        return ""
    seldom = "its inputs seldom recur: a memo would seldom answer"
    if is_closed(contract):
        return seldom
    open_ended = f"its answers are {explain(contract)}: {BY_TUNING}"
    return f"{open_ended}, and {seldom}" if inputs else open_ended


KIND = Kind(
    "memo",
    (Recipe("memo", "sightings", encoder=False, cost=0.02, share=0.2),),
    _fits,
    _refusal,
    train_memo,
    restore_memo,
)
