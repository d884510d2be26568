"""The scores by name, in the field's definitions: of classes as scikit-learn has them, of values by SciPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from refit.evaluation import confusion

Labels = npt.NDArray[Any]


def score(name: str, labels: Labels, predictions: Labels) -> float:
    """A score by its name, of the predicted labels or values of rows."""
    if name in confusion.SCORES:
        return float(confusion.SCORES[name](confusion.count(labels, predictions)))
    return REGRESSION[name](labels, predictions)


def meaning(name: str) -> str:
    """What a score is, in a sentence."""
    return ({**confusion.SCORES, **REGRESSION}[name].__doc__ or "").partition("\n")[0]


def pearson(labels: Labels, predictions: Labels) -> float:
    """Pearson's correlation of values and predictions, -1 to 1."""
    from scipy.stats import pearsonr

    return _correlation(lambda: pearsonr(predictions, labels)[0], labels, predictions)


def spearmanr(labels: Labels, predictions: Labels) -> float:
    """Spearman's rank correlation of values and predictions, -1 to 1."""
    from scipy.stats import spearmanr as rank_correlation

    return _correlation(lambda: rank_correlation(predictions, labels)[0], labels, predictions)


REGRESSION: dict[str, Callable[[Labels, Labels], float]] = {"pearson": pearson, "spearmanr": spearmanr}
TWO_CLASSES_ONLY = ("f1", "precision", "recall")


def predictions_of(logits: npt.NDArray[np.float32], *, is_regression: bool) -> Labels:
    """The predicted label (int64, the first of equals) or value (float32) of each row of logits (rows, labels)."""
    return logits[:, 0] if is_regression else logits.argmax(axis=-1)


def is_undefined(labels: Labels, predictions: Labels) -> bool:
    """Whether a correlation is undefined: one side is constant. It is reported as 0, which JSON has and NaN is not."""
    return len(labels) < 2 or np.ptp(labels) == 0 or np.ptp(predictions) == 0


def _correlation(compute: Callable[[], Any], labels: Labels, predictions: Labels) -> float:
    return 0.0 if is_undefined(labels, predictions) else float(compute())
