"""The scores of classes, as functions of confusion matrices: of one, or of the thousands that a bootstrap draws.

Such a score depends on the rows only through how many of each label were called what. For two classes f1, precision
and recall are those of the second label (index 1), as in GLUE. A score that is 0 / 0 is 0, as in scikit-learn.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]  # (..., true label, predicted label)
Values = npt.NDArray[np.float64]


def matrix(labels: npt.NDArray[Any], predictions: npt.NDArray[Any], classes: int = 2) -> Counts:
    """How many rows of label i were called label j (row i, column j), for at least so many classes."""
    classes = max(classes, int(labels.max(initial=0)) + 1, int(predictions.max(initial=0)) + 1)
    cells = labels.astype(np.int64) * classes + predictions.astype(np.int64)
    counts: Counts = np.bincount(cells, minlength=classes * classes).reshape(classes, classes)
    return counts


def accuracy(counts: Counts) -> Values:
    """The share of rows that are right."""
    return _ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def f1(counts: Counts) -> Values:
    """The harmonic mean of precision and recall of label 1; for two classes only."""
    return f1_of_each(counts)[..., 1]


def macro_f1(counts: Counts) -> Values:
    """The mean of the f1 of each class that occurs in the labels or the predictions."""
    occurs = (counts.sum(axis=-2) + counts.sum(axis=-1)) > 0
    return _ratio(f1_of_each(counts).sum(axis=-1), occurs.sum(axis=-1))


def precision(counts: Counts) -> Values:
    """Of the rows that were called label 1, the share that are; for two classes only."""
    return precision_of_each(counts)[..., 1]


def recall(counts: Counts) -> Values:
    """Of the rows of label 1, the share that were found; for two classes only."""
    return recall_of_each(counts)[..., 1]


def matthews_correlation(counts: Counts) -> Values:
    """Matthews's correlation coefficient, -1 to 1; 0 is no better than chance.

    For any number of classes: J. Gorodkin, Comput. Biol. Chem. 28, 2004.
    """
    true, called = counts.sum(axis=-1).astype(float), counts.sum(axis=-2).astype(float)
    right, rows = np.trace(counts, axis1=-2, axis2=-1).astype(float), counts.sum(axis=(-2, -1)).astype(float)
    above = right * rows - (true * called).sum(axis=-1)
    below = np.sqrt((rows**2 - (called**2).sum(axis=-1)) * (rows**2 - (true**2).sum(axis=-1)))
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
    return _ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-2))


def recall_of_each(counts: Counts) -> Values:
    """The recall of each class (..., class)."""
    return _ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))


def f1_of_each(counts: Counts) -> Values:
    """The f1 of each class (..., class): 2 TP / (2 TP + FP + FN)."""
    return _ratio(2 * np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-2) + counts.sum(axis=-1))


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Values:
    return np.asarray(np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0))
