"""The scores by name, on scikit-learn and SciPy, in the field's definitions.

For two classes f1, precision and recall are those of the second label (index 1), as in GLUE; macro_f1 is the plain
mean of every class's f1.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[Any]


def accuracy(labels: Labels, predictions: Labels) -> float:
    """The share of rows that are right."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


def f1(labels: Labels, predictions: Labels) -> float:
    """The harmonic mean of precision and recall of label 1; for two classes only."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, zero_division=0))


def macro_f1(labels: Labels, predictions: Labels) -> float:
    """The mean of the f1 of each class that occurs in the labels or the predictions."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0))


def precision(labels: Labels, predictions: Labels) -> float:
    """Of the rows that were called label 1, the share that are; for two classes only."""
    from sklearn.metrics import precision_score

    return float(precision_score(labels, predictions, zero_division=0))


def recall(labels: Labels, predictions: Labels) -> float:
    """Of the rows of label 1, the share that were found; for two classes only."""
    from sklearn.metrics import recall_score

    return float(recall_score(labels, predictions, zero_division=0))


def matthews_correlation(labels: Labels, predictions: Labels) -> float:
    """Matthews's correlation coefficient, -1 to 1; 0 is no better than chance."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def pearson(labels: Labels, predictions: Labels) -> float:
    """Pearson's correlation of values and predictions, -1 to 1."""
    from scipy.stats import pearsonr

    return _correlation("pearson", lambda: pearsonr(predictions, labels)[0], labels, predictions)


def spearmanr(labels: Labels, predictions: Labels) -> float:
    """Spearman's rank correlation of values and predictions, -1 to 1."""
    from scipy.stats import spearmanr as rank_correlation

    return _correlation("spearmanr", lambda: rank_correlation(predictions, labels)[0], labels, predictions)


Score = Callable[[Labels, Labels], float]
CLASSIFICATION: dict[str, Score] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "precision": precision,
    "recall": recall,
    "matthews_correlation": matthews_correlation,
}
REGRESSION: dict[str, Score] = {"pearson": pearson, "spearmanr": spearmanr}
SCORES: dict[str, Score] = {**CLASSIFICATION, **REGRESSION}
TWO_CLASSES_ONLY = ("f1", "precision", "recall")


def predictions_of(logits: npt.NDArray[np.float32], *, is_regression: bool) -> Labels:
    """The predicted label (int64, the first of equals) or value (float32) of each row of logits (rows, labels)."""
    return logits[:, 0] if is_regression else logits.argmax(axis=-1)


def _correlation(name: str, compute: Callable[[], Any], labels: Labels, predictions: Labels) -> float:
    """A correlation with a constant is not defined; it says nothing of the model, which is what 0 says too."""
    if len(labels) < 2 or np.ptp(labels) == 0 or np.ptp(predictions) == 0:
        print(f"{name} is not defined where all values are equal; it is given as 0", file=sys.stderr)
        return 0.0
    return float(compute())
