"""The scores of classes, as functions of counts per class: of one split, or of the thousands of draws of a bootstrap.

For two classes f1, precision and recall are those of the second label (index 1), as in GLUE. A score that is 0 / 0 is
0, as in scikit-learn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """Rows of each class, (..., class): with that label, with that prediction, and with both.

    Every score here is a function of these. They grow with the number of classes, a confusion matrix with its square.
    """

    labels: Ints
    predictions: Ints
    right: Ints


def count(
    labels: npt.NDArray[Any], predictions: npt.NDArray[Any], weights: Ints | None = None, classes: int = 2
) -> Counts:
    """Count the rows of each class, for at least so many classes; weights (..., row) say how often each row occurs."""
    if weights is None:
        weights = np.ones(len(labels), np.int64)
    classes = max(classes, int(labels.max(initial=0)) + 1, int(predictions.max(initial=0)) + 1)
    return Counts(
        labels=totals(weights, labels, classes),
        predictions=totals(weights, predictions, classes),
        right=totals(weights * (labels == predictions), labels, classes),
    )


def totals(weights: Ints, groups: npt.NDArray[Any], size: int) -> Ints:
    """The sums (..., group) of weights (..., row) over the rows of each group."""
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    sums = np.zeros((*weights.shape[:-1], size), np.int64)
    sums[..., present.astype(np.int64)] = np.add.reduceat(weights[..., order], starts, axis=-1)
    return sums


def accuracy(counts: Counts) -> Values:
    """The fraction of rows whose label was predicted."""
    return _ratio(counts.right.sum(axis=-1), counts.labels.sum(axis=-1))


def f1(counts: Counts) -> Values:
    """The harmonic mean of precision and recall of label 1; for two classes only."""
    return f1_of_each(counts)[..., 1]


def macro_f1(counts: Counts) -> Values:
    """The mean of the f1 of each class that occurs in the labels or the predictions."""
    occurs = (counts.labels + counts.predictions) > 0
    return _ratio(f1_of_each(counts).sum(axis=-1), occurs.sum(axis=-1))


def precision(counts: Counts) -> Values:
    """Of the rows predicted as label 1, the fraction that have it; for two classes only."""
    return precision_of_each(counts)[..., 1]


def recall(counts: Counts) -> Values:
    """Of the rows with label 1, the fraction predicted as it; for two classes only."""
    return recall_of_each(counts)[..., 1]


def matthews_correlation(counts: Counts) -> Values:
    """Matthews's correlation coefficient, -1 to 1; 0 is no better than chance.

    For any number of classes: J. Gorodkin, Comput. Biol. Chem. 28, 2004.
    """
    labels, predictions = counts.labels.astype(float), counts.predictions.astype(float)
    right, rows = counts.right.sum(axis=-1).astype(float), labels.sum(axis=-1)
    above = right * rows - (labels * predictions).sum(axis=-1)
    below = np.sqrt((rows**2 - (predictions**2).sum(axis=-1)) * (rows**2 - (labels**2).sum(axis=-1)))
    return _ratio(above, below)


SCORES: dict[str, Callable[[Counts], Values]] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "precision": precision,
    "recall": recall,
    "matthews_correlation": matthews_correlation,
}


def precision_of_each(counts: Counts) -> Values:
    """The precision of each class (..., class)."""
    return _ratio(counts.right, counts.predictions)


def recall_of_each(counts: Counts) -> Values:
    """The recall of each class (..., class)."""
    return _ratio(counts.right, counts.labels)


def f1_of_each(counts: Counts) -> Values:
    """The f1 of each class (..., class): 2 TP / (2 TP + FP + FN)."""
    return _ratio(2 * counts.right, counts.labels + counts.predictions)


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Values:
    return np.asarray(np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0))
