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
from shoal.specialists.kernel import Features, Floats, KernelOptions, fit, gram, radial
from shoal.specialists.senses import Senses
from shoal.specialists.terms import Terms

MOST_EXAMPLES = 10_000
"""Trained on at the most: time grows with the cube, memory with the square (1.5 GB). The newest are
taken; the others only calibrate."""


class MachineFit(NamedTuple):
    """A machine, and what it says of each of its n examples without having seen it (n, t)."""

    machine: "KernelMachine"
    left_out: Floats


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
    ) -> MachineFit:
        """Fit ``targets`` (n, t). The newest ``MOST_EXAMPLES`` train, and are scored left out; the
        older are scored by the machine, which never saw them. Equal texts are left out together,
        or each would be judged by a machine that saw its twin."""
        options = options or KernelOptions()
        first = max(0, len(texts) - MOST_EXAMPLES)
        terms = Terms.fit(texts[first:])
        features = Features(terms.rows(texts), senses.embed(texts) if senses else None)
        old, new = _part(features, slice(0, first)), _part(features, slice(first, None))
        fitted = fit(new, targets[first:], options, _repeated(texts[first:]))
        scale = 1.0 if new.embeddings is None else options.term_weight
        weights = np.asarray(new.terms.T @ fitted.dual, dtype=np.float32) * np.float32(scale)
        dual = None if new.embeddings is None else fitted.dual
        machine = cls(terms, weights, new.embeddings, dual, options)
        unseen = np.asarray(gram(old, new, options) @ fitted.dual)
        twin = {text: row for row, text in enumerate(texts[first:])}
        for row, text in enumerate(texts[:first]):
            if text in twin:
                unseen[row] = fitted.left_out[twin[text]]
        return MachineFit(machine, np.concatenate([unseen, fitted.left_out]))

    def scores(self, text: str, senses: Senses | None) -> Floats:
        """Scores (t,) of one text, about -1 (no) to 1 (yes)."""
        columns, values = self.terms.row(text)
        scores = values @ self.weights[columns]
        if self.embeddings is not None and self.dual is not None:
            if senses is None:
                raise ArtifactError("this specialist needs the encoder it was trained with")
            cosines = self.embeddings @ senses.embed([text])[0]
            scores = scores + radial(cosines, self.options.gamma) @ self.dual
        return np.asarray(scores)

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
                arrays["weights"],
                arrays.get("embeddings"),
                arrays.get("dual"),
                KernelOptions(*vocabulary["kernel"]),
            )
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"the specialist's files lack {error}: train it again") from error
        if len(terms.idf) != terms.size + 1 or machine.weights.shape != (terms.size, targets):
            raise ArtifactError("the specialist's vocabulary and weights differ: train it again")
        return machine


def _part(features: Features, rows: slice) -> Features:
    embeddings = features.embeddings
    return Features(features.terms[rows], None if embeddings is None else embeddings[rows])


def _repeated(texts: Sequence[str]) -> list[NDArray[np.intp]]:
    """The row numbers of each text that occurs more than once."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        rows[text].append(row)
    return [np.array(found) for found in rows.values() if len(found) > 1]
