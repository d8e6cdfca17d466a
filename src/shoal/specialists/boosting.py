"""Gradient-boosted trees over a table of numbers: LightGBM, wrapped.

Trained on one thread with everything random drawn from a seed, so equal data gives an equal model
(Ke et al. 2017, "LightGBM: a highly efficient gradient boosting decision tree"). A model is text,
kept inside ``model.json``.

What it does not know: where its columns come from. A missing value is NaN; a categorical column
holds codes 0, 1, 2 …, and NaN for what was never seen.
"""

import re
from collections.abc import Hashable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from shoal.errors import ArtifactError, LearningError

if TYPE_CHECKING:
    from lightgbm import Booster

Floats = NDArray[np.float64]
Objective = Literal["binary", "multiclass", "regression"]

_SIZES = re.compile(r"^tree_sizes=.*\n", re.MULTILINE)

_INSTALL = {
    ImportError: "gradient boosting needs lightgbm: pip install lightgbm",
    OSError: (
        "lightgbm cannot be loaded, most often because the OpenMP runtime is missing: apt-get "
        "install libgomp1 (Debian, Ubuntu), dnf install libgomp (Fedora), brew install libomp "
        "(macOS)"
    ),
}


class BoostingOptions(Struct, frozen=True):
    """What is grown, and how carefully.

    ``classes``: of a multiclass target (0 … classes-1). ``rounds``: trees (a class), or the most
    of them if ``patience`` is over 0: then growing ends once so many rounds in a row brought
    nothing on examples kept apart. ``least_in_leaf``: examples in a leaf, fewer where there are
    under twenty times as many. ``feature_share`` and ``row_share`` are drawn for each tree.
    ``monotone``: for each column 1 (a greater value never lowers the score), -1 or 0; () for no
    constraint. ``categorical``: the columns that hold codes.
    """

    objective: Objective
    classes: int = 0
    rounds: int = 200
    patience: int = 0
    learning_rate: float = 0.05
    leaves: int = 31
    least_in_leaf: int = 20
    feature_share: float = 1.0
    row_share: float = 1.0
    l2: float = 0.0
    monotone: tuple[int, ...] = ()
    categorical: tuple[int, ...] = ()
    seed: int = 0


class Boosting:
    """Trained trees. Threads may share it.

    ``rounds`` is how many trees (a class) it has.
    """

    def __init__(self, booster: "Booster") -> None:
        self._booster = booster

    @property
    def rounds(self) -> int:
        """Number of rounds it was trained for."""
        return int(self._booster.current_iteration())

    @property
    def columns(self) -> int:
        """Number of columns a row must have."""
        return int(self._booster.num_feature())

    @classmethod
    def train(
        cls,
        rows: Floats,
        targets: NDArray[Any],
        options: BoostingOptions,
        weights: Floats | None = None,
        apart: tuple[Floats, NDArray[Any]] | None = None,
    ) -> "Boosting":
        """Grow trees on ``rows`` (n, d) and ``targets`` (n,): 0 or 1, a class, or a number.

        ``apart`` are the rows and targets that early stopping looks at (``options.patience``).

        Raises:
            LearningError: lightgbm or the OpenMP runtime is missing, or there is nothing to learn
                from.
        """
        lightgbm = _lightgbm(LearningError)
        if len(rows) < 2:
            raise LearningError(f"trees cannot be grown on {len(rows)} examples")
        stopping = [lightgbm.early_stopping(options.patience, verbose=False)] if apart else []
        data = _dataset(lightgbm, rows, targets, options, weights)
        kept = [_dataset(lightgbm, *apart, options, reference=data)] if apart else []
        booster = lightgbm.train(
            _parameters(options, len(rows)),
            data,
            options.rounds,
            valid_sets=kept,
            callbacks=stopping,
        )
        return cls.restore(_text(booster, booster.best_iteration if apart else -1))

    @classmethod
    def restore(cls, text: str) -> "Boosting":
        """The trees of ``text()``.

        Raises:
            ArtifactError: it is no such text, or lightgbm or the OpenMP runtime is missing.
        """
        lightgbm = _lightgbm(ArtifactError)
        if not text.startswith("tree\n") or "\nend of trees\n" not in text:
            raise ArtifactError("the trees are damaged: train the task again")
        try:
            return cls(lightgbm.Booster(model_str=text))
        except lightgbm.basic.LightGBMError as error:
            raise ArtifactError(f"the trees are damaged: {error}: train the task again") from error

    def text(self) -> str:
        """All that ``restore`` needs."""
        return _text(self._booster, -1)

    def predict(self, rows: Floats) -> Floats:
        """Rows (n, d) -> probabilities of 1 (n,), of each class (n, classes), or numbers (n,)."""
        return np.asarray(self._booster.predict(rows, num_threads=1), dtype=np.float64)

    def raw(self, rows: Floats) -> Floats:
        """As ``predict``, before the logistic function or the softmax."""
        found = self._booster.predict(rows, raw_score=True, num_threads=1)
        return np.asarray(found, dtype=np.float64)

    def contributions(self, row: Floats) -> Floats:
        """How much each column of ``row`` (d,) moves the raw score: (classes or 1, d + 1).

        The last column is the mean raw score of the training examples; a line adds up to the raw
        score of that class (TreeSHAP; Lundberg et al. 2020).
        """
        found = self._booster.predict(row[None, :], pred_contrib=True, num_threads=1)
        return np.asarray(found, dtype=np.float64).reshape(-1, len(row) + 1)


class CrossFit(NamedTuple):
    """Trees grown on all examples, and for each example what trees that had not seen it nor its
    equals say: as ``Boosting.predict``."""

    boosting: Boosting
    left_out: Floats


def cross_fit(
    rows: Floats,
    targets: NDArray[Any],
    options: BoostingOptions,
    groups: Sequence[Hashable],
    folds: int = 5,
    weights: Floats | None = None,
) -> CrossFit:
    """Train on all, and predict each example by trees grown without its fold.

    Examples of one of ``groups`` (n,) are in one fold: equal inputs, above all. With
    ``options.patience`` the number of rounds is found within what trains, on the fold that follows,
    and then all that trains is used; the trees on all examples get the median of those numbers.

    Raises:
        LearningError: as ``Boosting.train``, or all examples are of one group.
    """
    fold = folds_of(groups, targets, folds)
    count = int(fold.max()) + 1
    left_out: Floats | None = None
    rounds = []
    for k in range(count):
        trains, next_one = fold != k, fold == (k + 1) % count
        shape = _settled(rows, targets, options, weights, trains, next_one)
        rounds.append(shape.rounds)
        trees = Boosting.train(rows[trains], targets[trains], shape, _part(weights, trains))
        found = trees.predict(rows[~trains])
        left_out = np.empty((len(rows), *found.shape[1:])) if left_out is None else left_out
        left_out[~trains] = found
    assert left_out is not None
    final = _fixed(options, int(np.median(rounds)))
    return CrossFit(Boosting.train(rows, targets, final, weights), left_out)


def folds_of(
    groups: Sequence[Hashable], targets: NDArray[Any], folds: int = 5, seed: int = 0
) -> NDArray[np.intp]:
    """The fold of each example (n,), 0 … folds-1 or fewer if there are fewer groups.

    A group is in one fold. Groups are drawn in random order, and dealt out sorted by the target of
    their first example, so each fold has its share of every class.

    Raises:
        LearningError: all examples are of one group.
    """
    first: dict[Hashable, int] = {}
    for row, group in enumerate(groups):
        first.setdefault(group, row)
    if len(first) < 2:
        raise LearningError("all inputs are equal: nothing to learn from, and nothing to judge by")
    distinct = list(first)
    drawn = np.random.default_rng(seed).permutation(len(distinct))
    by_target = drawn[np.argsort(targets[[first[distinct[i]] for i in drawn]], kind="stable")]
    dealt = {distinct[i]: at % min(folds, len(distinct)) for at, i in enumerate(by_target)}
    return np.array([dealt[group] for group in groups], dtype=np.intp)


def why_unavailable() -> str:
    """Why no trees can be grown on this machine, and what to install; "" if they can."""
    try:
        _lightgbm(LearningError)
    except LearningError as error:
        return str(error)
    return ""


def _settled(
    rows: Floats,
    targets: NDArray[Any],
    options: BoostingOptions,
    weights: Floats | None,
    trains: NDArray[np.bool_],
    apart: NDArray[np.bool_],
) -> BoostingOptions:
    """``options`` with the number of rounds that does best on ``apart``, a part of ``trains``."""
    grows = trains & ~apart
    if not options.patience or grows.sum() < 2:
        return _fixed(options, options.rounds)
    kept = rows[apart], targets[apart]
    trees = Boosting.train(rows[grows], targets[grows], options, _part(weights, grows), kept)
    return _fixed(options, trees.rounds)


def _fixed(options: BoostingOptions, rounds: int) -> BoostingOptions:
    return replace(options, rounds=max(1, rounds), patience=0)


def _part(weights: Floats | None, chosen: NDArray[np.bool_]) -> Floats | None:
    return None if weights is None else weights[chosen]


def _dataset(
    lightgbm: Any,
    rows: Floats,
    targets: NDArray[Any],
    options: BoostingOptions,
    weights: Floats | None = None,
    reference: Any = None,
) -> Any:
    return lightgbm.Dataset(
        rows,
        targets,
        weight=weights,
        reference=reference,
        categorical_feature=list(options.categorical),
        params={"verbosity": -1, "feature_pre_filter": False, "num_threads": 1},
    )


def _text(booster: "Booster", rounds: int) -> str:
    """The first ``rounds``, -1 for all of them. Without the sizes of the trees, by which they would
    be read in parallel, and a damaged text would end the process instead of raising an error."""
    return _SIZES.sub("", booster.model_to_string(num_iteration=rounds), count=1)


def _parameters(options: BoostingOptions, examples: int) -> dict[str, Any]:
    leaf = max(1, min(options.least_in_leaf, examples // 20))
    parameters: dict[str, Any] = {
        "objective": options.objective,
        "learning_rate": options.learning_rate,
        "num_leaves": options.leaves,
        "min_data_in_leaf": leaf,
        "min_data_per_group": leaf,  # of categories; 100 by default, too many where few recur
        "feature_fraction": options.feature_share,
        "bagging_fraction": options.row_share,
        "bagging_freq": int(options.row_share < 1),
        "lambda_l2": options.l2,
        "seed": options.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    if options.objective == "multiclass":
        parameters["num_class"] = options.classes
    if any(options.monotone):
        parameters["monotone_constraints"] = list(options.monotone)
    return parameters


def _lightgbm(error: type[LearningError] | type[ArtifactError]) -> ModuleType:
    """The library, which takes a second to load where scikit-learn is installed too."""
    try:
        import lightgbm
    except ImportError as cause:
        raise error(_INSTALL[ImportError]) from cause
    except OSError as cause:
        raise error(f"{_INSTALL[OSError]}. It says: {cause}") from cause
    return lightgbm
