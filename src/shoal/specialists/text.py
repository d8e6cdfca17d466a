"""Kind ``text``: answers that are written, not chosen: SQL, a normalised address, a reply from a
template, JSON made of other JSON.

A fine-tuned encoder reads the input, several decoders write together, by units of their own and by
copying the input's words, and a beam search keeps the likeliest drafts. Drafts that mean the same
(by the task's comparator) count together; drafts that the contract or the comparator calls no
answer, SQL that does not run or JSON that does not parse, are dropped. It is trained by
``shoal.training.text`` alone; nothing here needs torch.
"""

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shoal.chat import Answer
from shoal.errors import LearningError
from shoal.specialists.files import write_model
from shoal.specialists.kind import BY_TUNING, Kind, Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Trained
from shoal.specialists.tuned_encoder import TUNED, tuned_encoder
from shoal.specialists.writing.decoders import Decoders, Floats
from shoal.specialists.writing.pieces import Source, pooling
from shoal.specialists.writing.search import Draft, drafts, log_probability
from shoal.specialists.writing.sureness import Sureness, features
from shoal.specialists.writing.vocabulary import Vocabulary
from shoal.tasks.comparator import same
from shoal.tasks.comparators import key_of
from shoal.tasks.contract import (
    CLOSED_KINDS,
    Contract,
    FieldsContract,
    Output,
    TextContract,
    parse,
    render,
)
from shoal.tasks.input import Input
from shoal.tasks.json_style import JsonStyle

_MOST_TOKENS = 254  # of an input: the encoder reads no more
_MOST_REASONS = 40  # words that are left out to explain an answer
_LEAST_LIKELY = -30.0  # log-probability of what cannot be written any more


class Meaning(NamedTuple):
    """Drafts that are the same answer: the likeliest one's output, the log of all their
    probabilities, and that draft."""

    output: Output
    mass: float
    draft: Draft


class TextSpecialist:
    """``arrays`` hold the tuned encoder and the decoders; no output is of more than ``longest``
    units."""

    kind, recipe = "text", TUNED

    def __init__(
        self,
        contract: Contract,
        arrays: dict[str, Any],
        vocabulary: Vocabulary,
        longest: int,
        sureness: Sureness,
        senses: Senses | None,
    ) -> None:
        self._contract, self._arrays, self._longest = contract, arrays, longest
        self._sureness, self._vocabulary = sureness, vocabulary
        self._encoder = tuned_encoder(senses, arrays)
        self._decoders = Decoders(arrays, vocabulary)

    def predict(self, given: Input) -> Prediction:
        """Write the answer to one input. Declines an input without a word, or longer than the
        encoder reads, and where no draft is an answer.

        Raises:
            ConfigError: the task's comparator is not known here.
        """
        found = self.meanings(given.text)
        if not found:
            return Prediction(None, 0.0)
        return Prediction(found[0].output, self._sureness.probability(self._features(found[0])))

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """How much less likely the answer gets, in log-probability, without each of the first words
        of the input; a word without which it cannot be written counts most."""
        found = self.meanings(given.text)
        if not found:
            return ()
        text, reasons = found[0].draft.text, []
        spans = Source(given.text).spans[:_MOST_REASONS]
        texts = [given.text, *(given.text[:start] + given.text[end:] for start, end in spans)]
        whole, *without = [self._likelihood(each, text) for each in texts]
        for (start, end), likely in zip(spans, without, strict=True):
            reasons.append(Reason(given.text[start:end], whole - likely))
        return tuple(sorted(reasons, key=lambda reason: (-abs(reason.weight), reason.what)))

    def meanings(self, text: str) -> list[Meaning]:
        """What the input may be answered, the likeliest first."""
        read = self._read(text)
        if read is None:
            return []
        groups: dict[Hashable, Meaning] = {}
        for draft in drafts(self._decoders, *read, self._longest):
            output = _understood(self._contract, draft.text)
            key = None if output is None else self._key(output, groups)
            if output is None or key is None:
                continue
            known = groups.get(key)
            mass = draft.log_probability
            groups[key] = (
                Meaning(output, mass, draft)
                if known is None
                else known._replace(mass=float(np.logaddexp(known.mass, mass)))
            )
        return sorted(groups.values(), key=lambda meaning: -meaning.mass)

    def learned(self, texts: Sequence[str], outputs: Sequence[str]) -> Sureness:
        """How sure to be, from inputs (n,) and answers (n,) that did not train."""
        found, right = [], []
        for text, output in zip(texts, outputs, strict=True):
            meanings = self.meanings(text)
            if meanings:
                found.append(self._features(meanings[0]))
                said = Answer(text=render(self._contract, meanings[0].output))
                right.append(same(self._contract, said, Answer(text=output)))
        return Sureness.fitted(found, right)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "units": self._vocabulary.units,
            "merges": self._vocabulary.merges,
            "longest": self._longest,
            "sureness": [self._sureness.intercept, *self._sureness.weights],
        }
        write_model(folder, model, self._arrays)

    def _features(self, meaning: Meaning) -> np.ndarray:
        draft = meaning.draft
        share = draft.agreeing / self._decoders.count
        return features(meaning.mass, draft.log_probability / draft.units, share)

    def _key(self, output: Output, groups: dict[Hashable, Meaning]) -> Hashable | None:
        """What drafts of the same meaning have in common; None for no answer at all."""
        answer = Answer(text=render(self._contract, output))
        keyed = key_of(self._contract.comparator) if self._contract.comparator else None
        if keyed is not None:
            return keyed(answer)
        for key, known in groups.items():
            if same(self._contract, answer, Answer(text=render(self._contract, known.output))):
                return key
        return answer.text

    def _read(self, text: str) -> tuple[Source, Floats] | None:
        """The words and their states (s, n); None if there are none, or too many."""
        source = Source(text)
        if not source.spans:
            return None
        offsets, states = self._encoder.tokens([text])[0]
        if len(offsets) >= _MOST_TOKENS:
            return None
        return source, pooling(source.spans, offsets) @ states

    def _likelihood(self, text: str, output: str) -> float:
        read = self._read(text)
        units = None if read is None else self._vocabulary.encode(read[0], output)
        if read is None or units is None:
            return _LEAST_LIKELY
        return max(_LEAST_LIKELY, log_probability(self._decoders, *read, units))


def restore_text(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> TextSpecialist:
    """The specialist that ``save`` wrote."""
    vocabulary = Vocabulary(model["units"], [(a, b) for a, b in model["merges"]])
    intercept, *weights = model["sureness"]
    sureness = Sureness(float(intercept), tuple(map(float, weights)))
    return TextSpecialist(contract, arrays, vocabulary, int(model["longest"]), sureness, senses)


def texts_of(contract: Contract, outputs: Sequence[Output | None]) -> list[str | None]:
    """The texts that are to be written for outputs (n,); None where there is nothing to learn."""
    return [
        None if output is None or output == "" else render(contract, output) for output in outputs
    ]


def _understood(contract: Contract, text: str) -> Output | None:
    """The output that a draft says; None if it breaks the contract."""
    if isinstance(contract, TextContract) and contract.json:
        try:
            JsonStyle.read(text)
        except ValueError:
            return None
    return parse(contract, text) or None


def _fits(contract: Contract) -> bool:
    if isinstance(contract, FieldsContract):
        return any(field.kind not in CLOSED_KINDS for field in contract.fields)
    return isinstance(contract, TextContract)


def _refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    return ""


def _train(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses | None,
    recipe: Recipe,
) -> Trained:
    raise LearningError(f"its answers are written: {BY_TUNING}")


KIND = Kind("text", (), _fits, _refusal, _train, restore_text)
