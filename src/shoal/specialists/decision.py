"""Kind ``decision``: a row of numbers and categories -> a label or a number, by boosted trees.

A label's signal is the margin of its probability, as the probability of being right. A number's is
the estimated probability that it is within the contract's tolerance of the reference: trees of
their own learn that from the errors that models made on examples they had not seen.
"""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from shoal.errors import ArtifactError, LearningError
from shoal.specialists.boosting import Boosting, BoostingOptions, cross_fit, folds_of
from shoal.specialists.confidence import Curve, fit_curve
from shoal.specialists.files import write_model
from shoal.specialists.kind import Kind, Recipe
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason, Specialist, Trained
from shoal.specialists.tabular import Row, Table, row_of, why_no_table
from shoal.tasks.comparator import same_number
from shoal.tasks.contract import Contract, LabelContract, NumberContract, Output
from shoal.tasks.input import Input

Floats = NDArray[np.float64]
Monotone = Mapping[str, str]
"""By column: of a number "increasing" or "decreasing"; of a label, of two, the one that greater
values speak for."""

_GROWN = BoostingOptions(
    objective="regression", rounds=400, patience=30, learning_rate=0.05, leaves=15, row_share=0.8
)
_FOLDS = 5
_LEAST_PROBABILITY = 1e-9


class LabelDecision:
    """Trees for each label (one for two of them), and the curve from margin to signal."""

    kind = "decision"

    def __init__(
        self, table: Table, labels: tuple[str, ...], trees: Boosting, curve: Curve, recipe: str
    ) -> None:
        self.recipe = recipe
        self._table, self._labels, self._trees, self._curve = table, labels, trees, curve

    def predict(self, given: Input) -> Prediction:
        """Predict one label; declines what is no row."""
        row = row_of(given)
        if row is None:
            return Prediction(None, 0.0)
        chances = _chances(self._trees.predict(self._table.numbers([row])))
        best, margin = _best(chances)
        signal = float(np.exp(self._curve.log_probability(float(margin[0]))))
        return Prediction(self._labels[int(best[0])], signal)

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """What each column moves the label's log-odds by."""
        row = row_of(given)
        if row is None:
            return ()
        numbers = self._table.numbers([row])[0]
        best = int(_best(_chances(self._trees.predict(numbers[None, :])))[0][0])
        found = self._trees.contributions(numbers)
        two = len(self._labels) == 2
        moved = found[0] * (1 if best else -1) if two else found[best]
        return _reasons(self._table, row, moved)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "labels": self._labels,
            "table": msgspec.to_builtins(self._table),
            "trees": self._trees.text(),
        }
        write_model(folder, model, {"curve": np.array([self._curve.intercept, self._curve.slope])})


class NumberDecision:
    """Trees for the number, trees for whether it is within tolerance, and the curve from what these
    say to the signal."""

    kind = "decision"

    def __init__(
        self,
        table: Table,
        trees: Boosting,
        within: "Within",
        curve: Curve,
        decimals: int,
        recipe: str,
    ) -> None:
        self.recipe = recipe
        self._table, self._trees, self._within = table, trees, within
        self._curve, self._decimals = curve, decimals

    def predict(self, given: Input) -> Prediction:
        """Predict one number; declines what is no row."""
        row = row_of(given)
        if row is None:
            return Prediction(None, 0.0)
        numbers = self._table.numbers([row])
        found = self._trees.predict(numbers)
        close = float(self._within.probability(numbers, found)[0])
        signal = float(np.exp(self._curve.log_probability(close)))
        return Prediction(round(float(found[0]), self._decimals), signal)

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """What each column moves the number by."""
        row = row_of(given)
        if row is None:
            return ()
        moved = self._trees.contributions(self._table.numbers([row])[0])[0]
        return _reasons(self._table, row, moved)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        model = {
            "kind": self.kind,
            "recipe": self.recipe,
            "decimals": self._decimals,
            "table": msgspec.to_builtins(self._table),
            "trees": self._trees.text(),
            "within": self._within.trees.text() if self._within.trees else "",
        }
        curve = np.array([self._curve.intercept, self._curve.slope])
        write_model(folder, model, {"share": np.array([self._within.share]), "curve": curve})


class Within:
    """How likely a predicted number is within tolerance: by ``trees`` over the row and the number,
    or the same ``share`` for all where nothing tells them apart."""

    def __init__(self, trees: Boosting | None, share: float) -> None:
        self.trees, self.share = trees, share

    @classmethod
    def train(cls, rows: Floats, found: Floats, within: NDArray[np.bool_]) -> "Within":
        """Learn from numbers found for ``rows`` (n, d) by models that had not seen them."""
        share = float((within.sum() + 1) / (len(within) + 2))
        if within.all() or not within.any():
            return cls(None, share)
        options = replace(
            _GROWN, objective="binary", rounds=60, patience=0, leaves=7, feature_share=0.7, l2=1.0
        )
        return cls(Boosting.train(_joined(rows, found), within.astype(float), options), share)

    def probability(self, rows: Floats, found: Floats) -> Floats:
        """Of numbers ``found`` (n,) for ``rows`` (n, d): (n,)."""
        if self.trees is None:
            return np.full(len(rows), self.share)
        return self.trees.predict(_joined(rows, found))


def train_decision(
    monotone: Monotone,
    contract: Contract,
    inputs: Sequence[Input],
    outputs: Sequence[Output | None],
    senses: Senses | None,
    recipe: Recipe,
) -> Trained:
    """Train on rows and reference outputs; None where the reference breaks the contract.

    Raises:
        LearningError: no reference keeps the contract, all rows are equal, or ``monotone`` names
            what is no column of numbers or cannot be kept.
    """
    rows = [row_of(given) for given in inputs]
    usable = [
        at
        for at, (row, output) in enumerate(zip(rows, outputs, strict=True))
        if row is not None and isinstance(output, str | float | int)
    ]
    if not usable:
        raise LearningError("none of the reference answers keeps the contract: nothing to learn")
    table = Table.fit([row for at in usable if (row := rows[at])])
    if not table.columns:
        raise LearningError("the inputs have no column of numbers or categories that varies")
    data = _Data(
        table,
        table.numbers([row or {} for row in rows]),
        [row is not None for row in rows],
        [str(sorted((row or {}).items(), key=str)) for row in rows],
        np.array(usable),
    )
    if isinstance(contract, LabelContract):
        wanted = [str(outputs[at]) for at in usable]
        return _train_label(contract, data, wanted, monotone, recipe)
    assert isinstance(contract, NumberContract)
    numbers = np.array([float(outputs[at]) for at in usable])  # type: ignore[arg-type]
    return _train_number(contract, data, numbers, monotone, recipe)


class _Data(msgspec.Struct, frozen=True):
    """All examples as a table (n, d), which are rows at all, equal ones by name, and the numbers of
    those that have a reference to learn from."""

    table: Table
    numbers: Floats
    readable: list[bool]
    names: list[str]
    usable: NDArray[np.intp]

    @property
    def rows(self) -> Floats:
        return self.numbers[self.usable]

    @property
    def groups(self) -> list[Hashable]:
        return [self.names[at] for at in self.usable]

    def spread(self, left_out: Floats, trees: Boosting) -> Floats:
        """What was left out of the usable examples, for all examples: another gets what its equal
        got, else what the trees on all say, which never saw it."""
        known = {self.names[at]: i for i, at in enumerate(self.usable)}
        found = trees.predict(self.numbers)
        for at, name in enumerate(self.names):
            if name in known:
                found[at] = left_out[known[name]]
        found[self.usable] = left_out
        return found


def _train_label(
    contract: LabelContract,
    data: _Data,
    wanted: Sequence[str],
    monotone: Monotone,
    recipe: Recipe,
) -> Trained:
    seen = set(wanted)
    labels = tuple(label for label in contract.labels if label in seen)
    if len(labels) < 2:
        raise LearningError(f"all reference answers are {labels[0]!r}: there is nothing to decide")
    code = {label: i for i, label in enumerate(labels)}
    targets = np.array([code[label] for label in wanted], dtype=float)
    options = replace(
        _GROWN,
        objective="binary" if len(labels) == 2 else "multiclass",
        classes=0 if len(labels) == 2 else len(labels),
        categorical=data.table.categorical,
        monotone=_directions(data.table, monotone, labels),
    )
    fitted = cross_fit(data.rows, targets, options, data.groups, _FOLDS)
    chances = _chances(data.spread(fitted.left_out, fitted.boosting))
    best, margins = _best(chances)
    right = np.zeros(len(best), dtype=bool)
    right[data.usable] = best[data.usable] == targets
    curve = fit_curve(margins, right)
    signals = np.exp(curve.log_probability(margins))
    left_out = [
        Prediction(labels[int(i)], float(signal)) if readable else Prediction(None, 0.0)
        for i, signal, readable in zip(best, signals, data.readable, strict=True)
    ]
    return Trained(LabelDecision(data.table, labels, fitted.boosting, curve, recipe.name), left_out)


def _train_number(
    contract: NumberContract, data: _Data, targets: Floats, monotone: Monotone, recipe: Recipe
) -> Trained:
    """Each fold's numbers and signals come from models that learned from the other folds alone, the
    errors that the signals rest on included."""
    options = replace(
        _GROWN,
        categorical=data.table.categorical,
        monotone=_directions(data.table, monotone, ()),
    )
    decimals = contract.decimals if contract.decimals >= 0 else _decimals(targets)
    rows, groups = data.rows, data.groups
    fold = folds_of(groups, targets, _FOLDS)
    found, close = np.empty(len(rows)), np.empty(len(rows))
    for k in range(int(fold.max()) + 1):
        inside, outside = fold == k, np.flatnonzero(fold != k)
        others = [groups[i] for i in outside]
        trees, within = _fit_number(
            contract, rows[outside], targets[outside], options, others, decimals
        )
        found[inside] = np.round(trees.predict(rows[inside]), decimals)
        close[inside] = within.probability(rows[inside], trees.predict(rows[inside]))
    trees, within = _fit_number(contract, rows, targets, options, groups, decimals)
    all_found = np.round(data.spread(found, trees), decimals)
    all_close = within.probability(data.numbers, trees.predict(data.numbers))
    all_close[data.usable] = close
    right = np.zeros(len(all_found), dtype=bool)
    right[data.usable] = _close(contract, all_found[data.usable], targets)
    margins = all_close.astype(np.float32)
    curve = fit_curve(margins, right)
    signals = np.exp(curve.log_probability(margins))
    left_out = [
        Prediction(float(number), float(signal)) if readable else Prediction(None, 0.0)
        for number, signal, readable in zip(all_found, signals, data.readable, strict=True)
    ]
    specialist = NumberDecision(data.table, trees, within, curve, decimals, recipe.name)
    return Trained(specialist, left_out)


def _fit_number(
    contract: NumberContract,
    rows: Floats,
    targets: Floats,
    options: BoostingOptions,
    groups: Sequence[Hashable],
    decimals: int,
) -> tuple[Boosting, Within]:
    fitted = cross_fit(rows, targets, options, groups, _FOLDS)
    close = _close(contract, np.round(fitted.left_out, decimals), targets)
    return fitted.boosting, Within.train(rows, fitted.left_out, close)


def _close(contract: NumberContract, found: Floats, wanted: Floats) -> NDArray[np.bool_]:
    """Whether each number is the same as the one that is wanted."""
    pairs = zip(found.tolist(), wanted.tolist(), strict=True)
    return np.array([same_number(contract, a, b) for a, b in pairs], dtype=bool)


def restore_decision(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> Specialist:
    """The specialist that ``save`` wrote."""
    table = msgspec.convert(model["table"], Table)
    trees = Boosting.restore(model["trees"])
    if trees.columns != len(table.columns):
        raise ArtifactError("the specialist's table and trees differ: train it again")
    curve = Curve(*map(float, arrays["curve"]))
    if "labels" in model:
        return LabelDecision(table, tuple(model["labels"]), trees, curve, model["recipe"])
    within = Within(
        Boosting.restore(model["within"]) if model["within"] else None, float(arrays["share"][0])
    )
    return NumberDecision(table, trees, within, curve, int(model["decimals"]), model["recipe"])


def _joined(rows: Floats, found: Floats) -> Floats:
    return np.hstack([rows, found[:, None]])


def _chances(found: Floats) -> Floats:
    """Probabilities (n, k) of k labels, whether trees gave (n,) or (n, k)."""
    return np.stack([1 - found, found], axis=1) if found.ndim == 1 else found


def _best(chances: Floats) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The likeliest of k labels (n,), and its log-odds over the next (n,), as a share of the most
    they can be."""
    logs = np.log(np.maximum(chances, _LEAST_PROBABILITY))
    two = np.partition(logs, -2, axis=1)[:, -2:]
    margins = (two[:, 1] - two[:, 0]) / -math.log(_LEAST_PROBABILITY)
    return chances.argmax(axis=1), margins.astype(np.float32)


def _decimals(targets: Floats) -> int:
    """As many as all but the strangest of the reference numbers have, six at the most."""
    counts = Counter(len(repr(float(t)).partition(".")[2].rstrip("0")) for t in targets)
    seen = sorted(counts.elements())
    return min(6, seen[math.ceil(0.98 * len(seen)) - 1])


def _directions(table: Table, monotone: Monotone, labels: tuple[str, ...]) -> tuple[int, ...]:
    """For each column 1, -1 or 0."""
    if not monotone:
        return ()
    ways = {"increasing": 1, "decreasing": -1}
    if labels:
        if len(labels) != 2:
            raise LearningError(
                f"monotone: there are {len(labels)} labels; a direction means something for two"
            )
        ways = {labels[0]: -1, labels[1]: 1}
    columns = {column.name: column for column in table.columns}
    for name, way in monotone.items():
        if name not in columns or columns[name].kind == "category":
            known = ", ".join(n for n, column in columns.items() if column.kind != "category")
            raise LearningError(f"monotone.{name}: no such column of numbers; there are: {known}")
        if way not in ways:
            raise LearningError(f"monotone.{name}: {way!r} is none of {', '.join(ways)}")
    return tuple(ways[monotone[c.name]] if c.name in monotone else 0 for c in table.columns)


def _reasons(table: Table, row: Row, moved: Floats) -> tuple[Reason, ...]:
    """Columns with their values, those that moved the output most first."""
    found = [
        Reason(f"{column.name} = {_shown(row.get(column.name))}", float(weight))
        for column, weight in zip(table.columns, moved[:-1], strict=True)
        if weight
    ]
    return tuple(sorted(found, key=lambda reason: (-abs(reason.weight), reason.what)))


def _shown(cell: object) -> str:
    return "missing" if cell is None else f"{cell:g}" if isinstance(cell, float) else str(cell)[:60]


def _fits(contract: Contract) -> bool:
    return isinstance(contract, LabelContract | NumberContract)


_UNKNOWN = "whether its inputs are a table is not known"


def _refusal(contract: Contract, inputs: Sequence[Input], recipe: Recipe) -> str:
    if not inputs:  # of labels, other kinds learn whatever the inputs are
        return _UNKNOWN if isinstance(contract, LabelContract) else ""
    return why_no_table(inputs)


def decision_kind(monotone: Monotone) -> Kind:
    """The kind, with directions that its trees have to keep."""
    return Kind(
        "decision",
        (Recipe("decision", "trees", encoder=False, cost=0.3, share=0.4),),
        _fits,
        _refusal,
        partial(train_decision, dict(monotone)),
        restore_decision,
    )


KIND = decision_kind({})
