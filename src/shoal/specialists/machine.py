"""The kernel machine: texts in, scores for a number of targets out, over terms and embeddings.

It keeps the model in the form that serves fastest: term weights in the primal (a sparse row times
a matrix), embeddings in the dual (similarity to each training embedding).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ArtifactError
from shoal.specialists.kernel import Features, Floats, KernelOptions, fit, nearness, radial
from shoal.specialists.senses import Senses
from shoal.specialists.terms import Terms

MOST_EXAMPLES = 16_000
"""Trained on at the most: time grows with the cube, memory with the square (1 GB). The newest are
taken; the others only calibrate."""


class Told(NamedTuple):
    """Texts (m,) whose targets (m, t) are known without traffic, as those of a label's name are:
    they train, and are never judged."""

    texts: Sequence[str]
    targets: Floats


class Look(NamedTuple):
    """What a machine says of one text: ``scores`` (t,), about -1 (no) to 1 (yes), and how near its
    training texts come, None without the encoder."""

    scores: Floats
    nearness: float | None


class MachineFit(NamedTuple):
    """A machine, and what it says of each of its n examples without having seen it: ``left_out``
    (n, t), and ``nearness`` (n,), None without the encoder."""

    machine: "KernelMachine"
    left_out: Floats
    nearness: Floats | None


class KernelMachine:
    """Regularised least squares over ``terms`` and, if there are any, ``embeddings``.

    Shapes: ``weights`` (v, t), ``embeddings`` (n, d) and ``dual`` (n, t), or None without encoder.
    """

    def __init__(
        self,
        terms: Terms,
        weights: Floats,
        embeddings: Floats | None = None,
        dual: Floats | None = None,
        options: KernelOptions | None = None,
    ) -> None:
        self.terms, self.weights = terms, weights
        self.embeddings, self.dual = embeddings, dual
        self.options = options or KernelOptions()

    @classmethod
    def train(
        cls,
        texts: Sequence[str],
        targets: Floats,
        senses: Senses | None,
        options: KernelOptions | None = None,
        told: Told | None = None,
        apart: Sequence[str] = (),
    ) -> MachineFit:
        """Fit ``targets`` (n, t). The newest ``MOST_EXAMPLES`` train, and are scored left out; the
        older are scored by the machine, which never saw them. Equal texts are left out together,
        or each would be judged by a machine that saw its twin; so are texts of an equal name in
        ``apart`` (n,), if there are names."""
        options = options or KernelOptions()
        first = max(0, len(texts) - MOST_EXAMPLES)
        named = [] if told is None else list(told.texts)
        learned = [*named, *texts[first:]]
        wanted = targets[first:] if told is None else np.vstack([told.targets, targets[first:]])
        if senses:
            senses.embed(texts[:first])  # remembered: in batches they are encoded sooner
        terms = Terms.fit(learned)
        new = _features(terms, learned, senses)
        fitted = fit(new, wanted, options, _repeated((apart or texts)[first:], len(named)))
        scale = 1.0 if new.embeddings is None else options.term_weight
        weights = np.asarray(new.terms.T @ fitted.dual, dtype=np.float32) * np.float32(scale)
        dual = None if new.embeddings is None else fitted.dual
        machine = cls(terms, weights, new.embeddings, dual, options)
        near = None if fitted.nearness is None else fitted.nearness[len(named) :]
        newest = MachineFit(machine, fitted.left_out[len(named) :], near)
        return _with_older(newest, texts, first, senses) if first else newest

    def scores(self, text: str, senses: Senses | None) -> Floats:
        """Scores (t,) of one text, about -1 (no) to 1 (yes)."""
        return self.look(text, senses).scores

    def look(self, text: str, senses: Senses | None) -> Look:
        """Scores and nearness of one text."""
        columns, values = self.terms.row(text)
        scores = np.asarray(values @ self.weights[columns])
        if self.embeddings is None or self.dual is None:
            return Look(scores, None)
        cosines = self.cosines([text], senses)
        near = float(nearness(cosines)[0])
        return Look(scores + radial(cosines[0], self.options.gamma) @ self.dual, near)

    def meaning(self, texts: Sequence[str], senses: Senses | None) -> Floats:
        """What the embeddings of m texts add to the scores (m, t): nothing without the encoder."""
        if self.embeddings is None or self.dual is None:
            return np.zeros((len(texts), self.weights.shape[1]), np.float32)
        return np.asarray(radial(self.cosines(texts, senses), self.options.gamma) @ self.dual)

    def cosines(self, texts: Sequence[str], senses: Senses | None) -> Floats:
        """Cosines (m, n) of texts with the training texts. Raises ArtifactError if there is no
        encoder."""
        if senses is None or self.embeddings is None:
            raise ArtifactError("this specialist needs the encoder it was trained with")
        return np.asarray(senses.embed(texts) @ self.embeddings.T)

    def arrays(self) -> dict[str, Floats]:
        """All numbers, by name, for a safetensors file."""
        arrays = {"weights": self.weights, "idf": self.terms.idf}
        if self.embeddings is not None and self.dual is not None:
            arrays |= {"embeddings": self.embeddings, "dual": self.dual}
        return arrays

    def vocabulary(self) -> dict[str, Any]:
        """All that is no array, for a JSON file."""
        options = self.options
        return {
            "words": self.terms.words,
            "chars": self.terms.chars,
            "kernel": [options.term_weight, options.gamma, options.ridge],
        }

    @classmethod
    def restore(
        cls, arrays: dict[str, Floats], vocabulary: dict[str, Any], targets: int
    ) -> "KernelMachine":
        """The machine of ``arrays()`` and ``vocabulary()``, for so many targets.

        Raises:
            ArtifactError: they do not fit each other.
        """
        try:
            terms = Terms(vocabulary["words"], vocabulary["chars"], arrays["idf"])
            machine = cls(
                terms,
                np.asarray(arrays["weights"], np.float32),  # a packed file has them in float16
                arrays.get("embeddings"),
                arrays.get("dual"),
                KernelOptions(*vocabulary["kernel"]),
            )
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"the specialist's files lack {error}: train it again") from error
        if len(terms.idf) != terms.size + 1 or machine.weights.shape != (terms.size, targets):
            raise ArtifactError("the specialist's vocabulary and weights differ: train it again")
        return machine


def _features(terms: Terms, texts: Sequence[str], senses: Senses | None) -> Features:
    return Features(terms.rows(texts), senses.embed(texts) if senses else None)


def _with_older(
    newest: MachineFit, texts: Sequence[str], first: int, senses: Senses | None
) -> MachineFit:
    """Judge the texts before ``first`` too: as a twin among the newest is judged, if there is one,
    else by the machine."""
    looks = [newest.machine.look(text, senses) for text in texts[:first]]
    scores = np.stack([look.scores for look in looks])
    near = np.array([look.nearness or 0.0 for look in looks], np.float32)
    twin = {text: row for row, text in enumerate(texts[first:])}
    for row, text in enumerate(texts[:first]):
        if text in twin:
            scores[row] = newest.left_out[twin[text]]
            near[row] = 0 if newest.nearness is None else newest.nearness[twin[text]]
    left_out = np.concatenate([scores, newest.left_out])
    if newest.nearness is None:
        return MachineFit(newest.machine, left_out, None)
    return MachineFit(newest.machine, left_out, np.concatenate([near, newest.nearness]))


def _repeated(texts: Sequence[str], offset: int) -> list[NDArray[np.intp]]:
    """The row numbers, from ``offset`` on, of each text that occurs more than once."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(texts, offset):
        rows[text].append(row)
    return [np.array(found) for found in rows.values() if len(found) > 1]
