"""The registry of scores: each is declared once, in SCORES; to add one, add an entry and its test.

Scores of classes are functions of counts per class, defined as in scikit-learn: 0 / 0 is 0, and for two classes f1,
precision and recall are those of the second label (index 1), as in GLUE. Scores of values are SciPy's.

In a multi-label task, labels are 0 or 1 (rows, labels), and predictions are numbers of the same shape, from
refit/evaluation/decisions.py: positive where the label is predicted, and the higher, the more probable it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt

from refit.data.task_record import ProblemType

Labels = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Formula = Callable[[Ints, Labels, Labels], Values]  # of weights, labels and predictions

CELLS = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])  # labels and predictions of a confusion matrix of two classes


@dataclass(frozen=True)
class Score:
    """One score of labels and predictions (rows).

    `label` is its name for people; `hub_id` and `hub_args` name it in a model card. `of_draws` computes it for weights
    (draw, row), or (row), that say how often each row occurs. `is_mean_of_rows`: it is the fraction of examples
    predicted correctly, so that McNemar's exact test applies. `is_of_ranks`: it depends on the order of the
    predictions, not only on what is predicted.
    """

    label: str
    hub_id: str
    of_draws: Formula
    hub_args: dict[str, str] = field(default_factory=dict)
    problem_types: tuple[ProblemType, ...] = ("classification",)
    two_classes_only: bool = False
    is_mean_of_rows: bool = False
    is_of_ranks: bool = False
    lowest: int = 0

    @property
    def is_regression(self) -> bool:
        """Whether labels and predictions are values."""
        return self.problem_types == ("regression",)


def score(name: str, labels: Labels, predictions: Labels) -> float:
    """A score by its name, of the labels and predictions of rows."""
    if not SCORES[name].is_regression:
        return float(SCORES[name].of_draws(np.ones(len(labels), np.int64), labels, predictions))
    from scipy import stats  # a second to import

    correlation: Any = {"pearson": stats.pearsonr, "spearmanr": stats.spearmanr}[name]
    return 0.0 if is_undefined(labels, predictions) else float(correlation(_wide(predictions), _wide(labels))[0])


def is_right(labels: Labels, predictions: Labels) -> npt.NDArray[np.bool_]:
    """Whether each row's label, or all of its labels, are predicted."""
    return (labels == (predictions > 0)).all(axis=1) if labels.ndim == 2 else np.equal(labels, predictions)


def is_undefined(labels: Labels, predictions: Labels) -> bool:
    """Whether a correlation is undefined because one side is constant; it is reported as 0, as JSON has no NaN."""
    return len(labels) < 2 or np.ptp(labels) == 0 or np.ptp(predictions) == 0


def _of_counts(formula: Callable[[Ints, Ints, Ints], Values]) -> Formula:
    """A score of the numbers of rows (..., class) with each class as label, as prediction, and as both.

    The classes are those that occur, and 0 and 1. Counts grow with their number, a confusion matrix with its square.
    """

    @wraps(formula)
    def of_draws(weights: Ints, labels: Labels, predictions: Labels) -> Values:
        from scipy import sparse  # here, because summary needs no score: 0.1 s

        if labels.ndim == 2:
            has_label, is_predicted = sparse.csr_array(labels), sparse.csr_array(predictions > 0)
        else:
            classes, places = np.unique(np.concatenate([labels, predictions, [0, 1]]), return_inverse=True)
            has_label, is_predicted = (_indicators(of, len(classes)) for of in np.split(places[:-2], 2))
        columns = (has_label, is_predicted, has_label.multiply(is_predicted))
        return formula(*(np.ascontiguousarray(weights @ of.astype(np.int64)) for of in columns))

    return of_draws


def _indicators(groups: Ints, size: int) -> Any:
    """The sparse matrix (row, group) with a 1 for the group of each row."""
    from scipy import sparse

    rows = np.arange(len(groups))
    return sparse.csr_array((np.ones(len(groups), np.int64), (rows, groups)), shape=(len(groups), size))


@_of_counts
def _f1(labels: Ints, predictions: Ints, right: Ints) -> Values:
    """The harmonic mean of precision and recall of label 1; for two classes only."""
    return _ratio(2 * right, labels + predictions)[..., 1]


@_of_counts
def _macro_f1(labels: Ints, predictions: Ints, right: Ints) -> Values:
    """The mean of the F1 of each class that occurs in the labels or the predictions."""
    of_each = _ratio(2 * right, labels + predictions)
    return _ratio(of_each.sum(axis=-1), (labels + predictions > 0).sum(axis=-1))


@_of_counts
def _micro_f1(labels: Ints, predictions: Ints, right: Ints) -> Values:
    """The F1 of all decisions, label by label and example by example."""
    return _ratio(2 * right.sum(axis=-1), (labels + predictions).sum(axis=-1))


@_of_counts
def _precision(labels: Ints, predictions: Ints, right: Ints) -> Values:
    """Of the examples predicted as label 1, the fraction that have it; for two classes only."""
    return _ratio(right, predictions)[..., 1]


@_of_counts
def _recall(labels: Ints, predictions: Ints, right: Ints) -> Values:
    """Of the examples with label 1, the fraction predicted as it; for two classes only."""
    return _ratio(right, labels)[..., 1]


@_of_counts
def _matthews_correlation(labels: Ints, predictions: Ints, right: Ints) -> Values:
    """Matthews's correlation coefficient, -1 to 1; 0 is no better than chance.

    For any number of classes: J. Gorodkin, Comput. Biol. Chem. 28, 2004.
    """
    true, guessed, rows = _wide(labels), _wide(predictions), _wide(labels).sum(axis=-1)
    above = right.sum(axis=-1) * rows - (true * guessed).sum(axis=-1)
    below = np.sqrt((rows**2 - (guessed**2).sum(axis=-1)) * (rows**2 - (true**2).sum(axis=-1)))
    return _ratio(above, below)


def _samples_f1(weights: Ints, labels: Labels, predictions: Labels) -> Values:
    """The mean over the examples of the F1 of their labels; 0 for an example without labels and predictions."""
    predicted = predictions > 0
    of_rows = _ratio(2 * (labels * predicted).sum(axis=1), labels.sum(axis=1) + predicted.sum(axis=1))
    return _mean(weights, of_rows)


def _accuracy(weights: Ints, labels: Labels, predictions: Labels) -> Values:
    """The fraction of examples whose label, or of which exactly the right labels, are predicted."""
    return _mean(weights, is_right(labels, predictions))


def _average_precision(weights: Ints, labels: Labels, predictions: Labels) -> Values:
    """The mean over the labels that occur of the average precision, which needs no thresholds."""
    found = np.zeros((*weights.shape[:-1], labels.shape[1]))
    for index, (of_label, values) in enumerate(zip(labels.T, predictions.T, strict=True)):
        order = np.argsort(-values, kind="stable")
        having = np.flatnonzero(of_label[order])  # the rows with the label: only they add to the sum
        ends = np.flatnonzero(np.diff(values[order], append=-np.inf))  # equal values are one step
        step = np.searchsorted(ends, having)
        gained = weights[..., order[having]]
        right = np.cumsum(gained, axis=-1)[..., np.searchsorted(step, step, side="right") - 1]
        rows = np.cumsum(weights[..., order], axis=-1)[..., ends[step]]
        found[..., index] = _ratio((gained * _ratio(right, rows)).sum(axis=-1), gained.sum(axis=-1))
    return _ratio(found.sum(axis=-1), (weights @ labels > 0).sum(axis=-1))


def _mean(weights: Ints, of_rows: npt.NDArray[Any]) -> Values:
    return np.asarray(weights @ of_rows.astype(np.float64) / weights.sum(axis=-1))


def _pearson(weights: Ints, labels: Labels, predictions: Labels) -> Values:
    """Pearson's correlation of values (row), or (draw, row), and predictions, -1 to 1; 0 where one side is constant."""
    total = weights.sum(axis=1, keepdims=True)
    x, y = (of - (weights * of).sum(axis=1, keepdims=True) / total for of in map(_wide, (labels, predictions)))
    together, of_x, of_y = ((weights * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y)))
    below = np.sqrt(of_x * of_y)
    return np.asarray(np.divide(together, below, out=np.zeros_like(together), where=below > 1e-12))


def _spearman(weights: Ints, labels: Labels, predictions: Labels) -> Values:
    """Spearman's rank correlation of values and predictions, -1 to 1; 0 where one side is constant."""
    return _pearson(weights, _ranks(weights, labels), _ranks(weights, predictions))


def _ranks(weights: Ints, values: Labels) -> Values:
    """Each row's rank in each draw; equal values share the middle of their ranks."""
    distinct, position = np.unique(values, return_inverse=True)
    of_value = weights @ _indicators(position, len(distinct))
    middle = np.cumsum(of_value, axis=1) - of_value / 2
    return np.asarray(middle[:, position])


def _wide(values: Labels) -> Values:
    return values.astype(np.float64)


def _ratio(part: npt.NDArray[Any], total: npt.NDArray[Any]) -> Values:
    return np.asarray(np.divide(part, total, out=np.zeros(np.shape(part)), where=np.asarray(total) > 0))


_BINARY: dict[str, Any] = {"two_classes_only": True}
_VALUES: dict[str, Any] = {"problem_types": ("regression",), "lowest": -1}
_SETS: dict[str, Any] = {"problem_types": ("multi_label",)}
_EITHER: tuple[ProblemType, ...] = ("classification", "multi_label")

SCORES: dict[str, Score] = {
    "accuracy": Score("accuracy", "accuracy", _accuracy, is_mean_of_rows=True),
    "f1": Score("F1", "f1", _f1, **_BINARY),
    "macro_f1": Score("macro F1", "f1", _macro_f1, {"average": "macro"}, _EITHER),
    "precision": Score("precision", "precision", _precision, **_BINARY),
    "recall": Score("recall", "recall", _recall, **_BINARY),
    "matthews_correlation": Score("Matthews correlation", "matthews_correlation", _matthews_correlation, lowest=-1),
    "micro_f1": Score("micro F1", "f1", _micro_f1, {"average": "micro"}, **_SETS),
    "samples_f1": Score("samples F1", "f1", _samples_f1, {"average": "samples"}, **_SETS),
    "subset_accuracy": Score("subset accuracy", "accuracy", _accuracy, is_mean_of_rows=True, **_SETS),
    "average_precision": Score(
        "average precision", "average_precision", _average_precision, {"average": "macro"}, is_of_ranks=True, **_SETS
    ),
    "pearson": Score("Pearson correlation", "pearsonr", _pearson, **_VALUES),
    "spearmanr": Score("Spearman correlation", "spearmanr", _spearman, **_VALUES),
}
