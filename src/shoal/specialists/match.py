"""Kind ``match``: one of two labels over a pair of records, such as yes and no.

Gradient-boosted trees over features of the two records (``pair_features``) and, for either record,
with how many others it was said to match: where matches are nearly one to one, a record that has
its match seldom has another. Those counts come from the reference answers, so they are made anew
for each fold, without what is left out. Pairs are left out one by one, or with all pairs of a
record where each call brings a new one (``pair_groups``): then an example's rows and counts know
nothing of the others of its group, for nothing will be known of a new record's.

A pair of two records that were in no other pair may be of another catalogue (``pair_scope``). It is
declined where training had hardly a pair of strangers. Where it had some, and the words are not
familiar, nothing is known of rivals and matches, which is not the same as having none: those
columns are empty then. So that the trees know what to do without them, they see some training pairs
once more with them emptied.

It says "match" from the score on at which F1 is greatest on left-out examples. The signal is the
probability of being right, by a logistic curve for either label over the distance to that score.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from shoal.errors import ArtifactError, LearningError
from shoal.specialists.boosting import Boosting, BoostingOptions, folds_of, why_unavailable
from shoal.specialists.confidence import Curve, fit_curve
from shoal.specialists.files import write_model
from shoal.specialists.kind import Kind, Recipe
from shoal.specialists.pair_features import OF_RIVALS, PairFeatures, keys_of
from shoal.specialists.pair_groups import Keys, groups_of
from shoal.specialists.pair_scope import KNOWN, LEAST, Judgement, PairScope
from shoal.specialists.pairs import Pair, find_pair, way_of
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Trained
from shoal.tasks.contract import Contract, LabelContract, Output
from shoal.tasks.input import Input

Floats = NDArray[np.float64]

MOST_EXAMPLES = 20_000
"""Trained on at the most; the newest are taken, the others only calibrate."""

OPTIONS = BoostingOptions(
    "binary",
    rounds=400,
    learning_rate=0.03,
    leaves=15,
    feature_share=0.5,
    row_share=0.8,
)
"""Chosen by cross-fitted F1 on the training and validation parts of two public data sets."""

_FOLDS = 5
_DROPPED = 10  # every such training pair is learned from without its rivals, too
_MOST_REASONS = 8
_MEANING = "record: cosine of meaning"
_MATCHED = ("other matches of left", "other matches of right")


class Matches:
    """The matches that the reference answers told of: for a record, the records of the other side,
    by their keys."""

    def __init__(self, of_left: Mapping[str, set[str]], of_right: Mapping[str, set[str]]) -> None:
        self.of_left, self.of_right = of_left, of_right

    @classmethod
    def of(cls, pairs: Sequence[tuple[str, str]]) -> "Matches":
        """From the keys of pairs that match."""
        of_left: dict[str, set[str]] = defaultdict(set)
        of_right: dict[str, set[str]] = defaultdict(set)
        for left, right in pairs:
            of_left[left].add(right)
            of_right[right].add(left)
        return cls(dict(of_left), dict(of_right))

    def row(self, left: str, right: str) -> tuple[int, int]:
        """With how many others the two records match, each other left out."""
        return (
            len(self.of_left.get(left, set()) - {right}),
            len(self.of_right.get(right, set()) - {left}),
        )


class Scale(Struct, frozen=True):
    """From the trees' score to a label and a signal: "match" from ``cut`` on, and for either label,
    no match first, a curve over |score - cut| / ``unit``, the scores' standard deviation."""

    cut: float
    unit: float
    curves: tuple[Curve, Curve]

    @classmethod
    def of(cls, scores: Floats, targets: NDArray[np.intp]) -> "Scale":
        """From left-out scores (n,) and targets (n,), 1 for a match. The curves are fitted on all:
        only the order counts, and they have four parameters."""
        cut, unit = _best_cut(scores, targets), max(float(scores.std()), 1e-6)
        margins = (np.abs(scores - cut) / unit).astype(np.float32)
        said = (scores >= cut).astype(np.intp)
        no, yes = (fit_curve(margins[said == k], (targets == k)[said == k]) for k in (0, 1))
        return cls(cut, unit, (no, yes))

    def prediction(self, labels: tuple[str, str], score: float) -> Prediction:
        """One of (no match, match), and the estimated probability that it is right."""
        says_match = score >= self.cut
        right = self.curves[says_match].log_probability(abs(score - self.cut) / self.unit)
        return Prediction(labels[says_match], float(np.exp(right)))

    def numbers(self) -> list[float]:
        """For a JSON file."""
        no, yes = self.curves
        return [self.cut, self.unit, no.intercept, no.slope, yes.intercept, yes.slope]

    @classmethod
    def restore(cls, numbers: Sequence[float]) -> "Scale":
        """Of ``numbers()``."""
        cut, unit, *curves = numbers
        return cls(cut, unit, (Curve(*curves[:2]), Curve(*curves[2:])))


class MatchSpecialist:
    """Trees over ``features`` of a pair; ``labels`` are (no match, match).

    Without a ``scope`` pairs of strangers are taken as any other.
    """

    kind = "match"

    def __init__(
        self,
        labels: tuple[str, str],
        way: str,
        features: PairFeatures,
        matches: Matches,
        trees: Boosting,
        scale: Scale,
        recipe: str,
        senses: Senses | None,
        scope: PairScope | None = None,
    ) -> None:
        self.recipe, self._scope = recipe, scope
        self.labels, self.way, self._features, self._matches = labels, way, features, matches
        self._trees, self._scale, self._senses = trees, scale, senses
        wanted = len(features.names) + (senses is not None) + len(_MATCHED)
        if trees.columns != wanted:
            raise ArtifactError(
                f"the trees read {trees.columns} columns, there are {wanted}: train the task again"
            )

    def predict(self, given: Input) -> Prediction:
        """Predict one of the two labels; declines where the input holds no pair, or one that is out
        of scope. One to three ms, and the encoder's time where the recipe has one."""
        pair = find_pair(given, self.way)
        if pair is None:
            return Prediction(None, 0.0)
        judged = self.judge(pair)
        return within(self._said(pair, judged), judged.inside)

    def forced(self, given: Input) -> Prediction:
        """As ``predict``, but of pairs out of scope too, where no certificate speaks of it."""
        pair = find_pair(given, self.way)
        return Prediction(None, 0.0) if pair is None else self._said(pair, self.judge(pair))

    def _said(self, pair: Pair, judged: Judgement) -> Prediction:
        score = float(self._trees.raw(self._row(pair, judged)[None, :])[0])
        return self._scale.prediction(self.labels, score)

    def judge(self, pair: Pair) -> Judgement:
        """Whether a pair is of the records that this was learned from."""
        if self._scope is None:
            return KNOWN
        return self._scope.judge(self._features.familiarity(pair))

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """Which features decided, and how much each moved the trees' score (log-odds)."""
        pair = find_pair(given, self.way)
        if pair is None:
            return ()
        row = self._row(pair, self.judge(pair))
        parts = self._trees.contributions(row)[0][:-1]
        sign = 1 if float(self._trees.raw(row[None, :])[0]) >= self._scale.cut else -1
        names = _names(self._features, self._senses)
        order = np.argsort(-np.abs(parts), kind="stable")[:_MOST_REASONS]
        return tuple(
            Reason(f"{names[at]} = {row[at]:.3g}", sign * float(parts[at]))
            for at in order
            if parts[at] != 0
        )

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        write_model(folder, *self.parts())

    def parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What ``restore_match`` reads: what is no array, and arrays by name."""
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "labels": self.labels,
            "way": self.way,
            "features": self._features.model(),
            "matches": {left: sorted(right) for left, right in self._matches.of_left.items()},
            "trees": self._trees.text(),
            "scale": self._scale.numbers(),
            "scope": self._scope and self._scope.numbers(),
        }
        return model, self._features.arrays()

    def _row(self, pair: Pair, judged: Judgement) -> Floats:
        left, right = pair
        meaning = [_meaning([pair], self._features, self._senses)[0]] if self._senses else []
        known = self._matches.row(left.key, right.key)
        row = np.concatenate([self._features.row(pair), meaning, known])
        if not judged.rivals:
            row[_of_others(_names(self._features, self._senses))] = nan
        return row


def restore_match(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> MatchSpecialist:
    """The specialist that ``save`` wrote."""
    no, yes = model["labels"]
    find_pair(Input(""), model["way"])  # KeyError if there is no such way
    matches = [(left, right) for left, found in model["matches"].items() for right in found]
    return MatchSpecialist(
        (no, yes),
        model["way"],
        PairFeatures.restore(model["features"], arrays),
        Matches.of(matches),
        Boosting.restore(model["trees"]),
        Scale.restore(model["scale"]),
        model["recipe"],
        senses,
        PairScope.restore(scope) if (scope := model.get("scope")) else None,
    )


def within(said: Prediction, inside: float) -> Prediction:
    """What is said of a pair that is in scope with the probability ``inside``; declined if that is
    less than ``LEAST``."""
    if inside < LEAST:
        return Prediction(None, 0.0)
    return Prediction(said.output, said.signal * inside)


def train_match(
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses | None,
    recipe: Recipe,
    groups: Callable[[Sequence[Keys]], Sequence[Hashable]] = groups_of,
    scoped: bool = True,
) -> Trained:
    """Train on inputs and reference outputs; None where the reference breaks the contract: such an
    example is not learned from, and predicting either label for it is wrong.

    ``inputs`` are in order of time. ``groups`` tells from the keys of pairs (n,) which are left out
    together, and know nothing of each other. Without ``scoped`` no pair is out of scope, as where
    what is asked for is an order among pairs.

    Raises:
        LearningError: no reference keeps the contract, the inputs hold no pairs, or all are equal.
    """
    assert isinstance(contract, LabelContract)
    way = way_of(inputs)
    if not way:
        raise LearningError(_NO_PAIR)
    found = [find_pair(given, way) for given in inputs]
    rows = [row for row, pair in enumerate(found) if pair is not None]
    lesson = _Lesson(
        [pair for pair in found if pair is not None],
        np.array([contract.labels.index(o) if (o := outputs[row]) else -1 for row in rows]),
        senses,
        groups,
        scoped,
    )
    labels = contract.labels[:: 1 if lesson.match else -1]
    scores = lesson.left_out_scores()
    scale = Scale.of(scores[lesson.kept], lesson.targets[lesson.kept])
    left_out = [Prediction(None, 0.0)] * len(inputs)
    for row, score, judged in zip(rows, scores, lesson.judged, strict=True):
        said = scale.prediction((labels[0], labels[1]), float(score))
        left_out[row] = within(said, judged.inside)
    specialist = MatchSpecialist(
        (labels[0], labels[1]),
        way,
        lesson.features,
        lesson.matches(lesson.trains),
        lesson.grow(lesson.trains),
        scale,
        recipe.name,
        senses,
        lesson.scope,
    )
    return Trained(specialist, left_out)


class _Lesson:
    """Pairs (n,) and what is known of them; ``match`` is the number of the label that means match.

    ``targets`` (n,) are 1 for a match, 0 for none and -1 where nothing is known; ``kept`` (n,)
    where something is, ``trains`` (n,) the newest of those.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        answers: NDArray[np.intp],
        senses: Senses | None,
        groups: Callable[[Sequence[Keys]], Sequence[Hashable]],
        scoped: bool,
    ) -> None:
        self.kept = answers >= 0
        if not self.kept.any():
            raise LearningError("no reference answer keeps the contract: nothing to learn")
        self.trains = self.kept & (np.cumsum(self.kept[::-1])[::-1] <= MOST_EXAMPLES)
        self._keys = [keys_of(pair) for pair in pairs]
        self._groups = groups(self._keys)
        first = int(np.argmax(self.trains))
        self.features = PairFeatures.fit(pairs[first:])
        rows = self.features.rows(pairs, first, self._groups)
        self.match = self._label_of_matches(rows, answers)
        self.targets = np.where(self.kept, answers == self.match, -1).astype(np.intp)
        meaning = [_meaning(pairs, self.features, senses)] if senses else []
        self._rows = np.column_stack([rows, *meaning])
        self._of_others = _of_others(_names(self.features, senses))
        self.scope: PairScope | None = None
        self.judged = [KNOWN] * len(pairs)
        if scoped:
            familiar = self.features.familiarities(pairs, first, self._groups)
            self.scope = scope = PairScope.fit(familiar)
            self.judged = [scope.judge(one) for one in familiar.tolist()]
        self._alone = np.array([not judged.rivals for judged in self.judged])

    def left_out_scores(self) -> Floats:
        """(n,) log-odds of a match by trees, and known matches, without the example's fold."""
        fold = folds_of(self._groups, self.targets, _FOLDS)
        scores = np.empty(len(fold))
        for k in range(int(fold.max()) + 1):
            trains, out = self.trains & (fold != k), fold == k
            scores[out] = self.grow(trains).raw(self._table(self.matches(trains))[out])
        return scores

    def grow(self, trains: NDArray[np.bool_]) -> Boosting:
        """Trees on these examples."""
        table, targets = self._table(self.matches(trains))[trains], self.targets[trains]
        if self.scope is not None and self.scope.takes_strangers:
            again = np.flatnonzero(~self._alone[trains])[::_DROPPED]
            alone = table[again]
            alone[:, self._of_others] = nan
            table, targets = np.vstack([table, alone]), np.append(targets, targets[again])
        return Boosting.train(table, targets, OPTIONS)

    def matches(self, trains: NDArray[np.bool_]) -> Matches:
        """What these examples say matches."""
        return Matches.of([self._keys[row] for row in np.flatnonzero(trains & (self.targets == 1))])

    def _table(self, matches: Matches) -> Floats:
        table = np.column_stack([self._rows, self._known(matches)])
        for column in self._of_others:
            table[self._alone, column] = nan
        return table

    def _known(self, matches: Matches) -> Floats:
        """(n, 2) as ``Matches.row``, each pair's group left out."""
        group = dict(zip(self._keys, self._groups, strict=True))
        known = np.zeros((len(self._keys), 2))
        for at, (left, right) in enumerate(self._keys):
            own = group[left, right]
            rights, lefts = matches.of_left.get(left, ()), matches.of_right.get(right, ())
            known[at, 0] = sum(group[left, other] != own for other in rights)
            known[at, 1] = sum(group[other, right] != own for other in lefts)
        return known

    def _label_of_matches(self, rows: Floats, answers: NDArray[np.intp]) -> int:
        """The label whose pairs are more alike: spellings differ, and so do languages."""
        alike = rows[:, self.features.names.index("record: cosine of letters")]
        means = [np.nanmean([0.0, *alike[answers == label]]) for label in (0, 1)]
        return int(means[1] >= means[0])


def _meaning(pairs: Sequence[Pair], features: PairFeatures, senses: Senses) -> Floats:
    """(n,) cosines of the records' vectors."""
    texts = [features.text_pair(pair) for pair in pairs]
    left, right = (senses.embed(side) for side in zip(*texts, strict=True))
    return np.asarray(np.einsum("nd,nd->n", left, right), dtype=np.float64)


def _names(features: PairFeatures, senses: Senses | None) -> tuple[str, ...]:
    return (*features.names, *((_MEANING,) if senses else ()), *_MATCHED)


def _of_others(names: Sequence[str]) -> list[int]:
    """The columns that tell of other records than the pair's."""
    return [at for at, name in enumerate(names) if name.endswith((*OF_RIVALS, *_MATCHED))]


def _best_cut(scores: Floats, targets: NDArray[np.intp]) -> float:
    """The score from which "match" gives the greatest F1, halfway to the next lower one; 0 (even
    odds) if all targets are alike."""
    if targets.min() == targets.max():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(targets[order] == 1)
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + (targets == 1).sum())
    ends = np.append(np.diff(scores[order]) < 0, True)  # a cut between equal scores is none
    best = int(np.argmax(np.where(ends, f1, -1)))
    after = order[min(best + 1, len(order) - 1)]
    return float((scores[order[best]] + scores[after]) / 2)


_NO_PAIR = (
    "its inputs hold no pair of records: two slots, JSON with two objects, fields such as "
    'left_name and right_name, or two blocks such as "Entity 1: … Entity 2: …"'
)


def hangs_together(inputs: Sequence[Input]) -> list[str] | None:
    """As ``kind.Together``: pairs of a record that does not come again."""
    way = way_of(inputs)
    found = [find_pair(given, way) if way else None for given in inputs]
    keys = [keys_of(pair) for pair in found if pair is not None]
    groups = groups_of(keys)
    if groups == keys:
        return None
    named = iter(groups)
    both = zip(inputs, found, strict=True)
    return [given.text if pair is None else f"{next(named)}" for given, pair in both]


def _fits(contract: Contract) -> bool:
    return isinstance(contract, LabelContract) and len(contract.labels) == 2


def _refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    if not inputs:
        return "whether its inputs hold a pair of records is not known"
    return why_unavailable() or ("" if way_of(inputs) else _NO_PAIR)


KIND = Kind(
    "match",
    (
        Recipe("match", "pairs", encoder=False, cost=2, share=0.6),
        Recipe("match", "pairs+encoder", encoder=True, cost=10, share=0.4),
    ),
    _fits,
    _refusal,
    train_match,
    restore_match,
    hangs_together,
)
