"""How sure a score is: percentile bootstrap intervals.

Rows are drawn with replacement 2,000 times and the score taken of each draw (B. Efron and R. Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 13). A classification score depends on the rows only through the
confusion matrix, and drawing rows is drawing its cells from a multinomial: so the draws cost nothing.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from refit.scoring.scores import CLASSIFICATION, SCORES, Labels

DRAWS = 2_000
SEED = 0
Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def interval(name: str, labels: Labels, predictions: Labels, level: float = 0.95) -> tuple[float, float]:
    """The (low, high) ends of a score's bootstrap interval; the same for the same rows."""
    generator = np.random.default_rng(SEED)
    if name in CLASSIFICATION:
        classes = int(max(labels.max(), predictions.max())) + 1
        cells = np.bincount(labels * classes + predictions, minlength=classes * classes)
        draws = generator.multinomial(len(labels), cells / cells.sum(), size=DRAWS)
        values = FROM_COUNTS[name](draws.reshape(DRAWS, classes, classes))
    else:
        draws = generator.integers(0, len(labels), size=(DRAWS // 4, len(labels)))
        values = np.array([SCORES[name](labels[draw], predictions[draw]) for draw in draws])
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def accuracy(counts: Counts) -> Values:
    """Accuracy of confusion matrices (..., true label, predicted label)."""
    return np.asarray(np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1)))


def _ratio(part: Counts, whole: Counts) -> Values:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def f1_of_each(counts: Counts) -> Values:
    """The f1 of each class (..., class): 2 TP / (2 TP + FP + FN), 0 where that is 0 / 0."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    return _ratio(2 * right, counts.sum(axis=-2) + counts.sum(axis=-1))


def macro_f1(counts: Counts) -> Values:
    """The mean f1 of the classes that occur in labels or predictions."""
    occurs = (counts.sum(axis=-2) + counts.sum(axis=-1)) > 0
    return np.asarray(f1_of_each(counts).sum(axis=-1) / occurs.sum(axis=-1))


def f1(counts: Counts) -> Values:
    """The f1 of label 1."""
    return f1_of_each(counts)[..., 1]


def precision(counts: Counts) -> Values:
    """The precision of label 1."""
    return _ratio(counts[..., 1, 1], counts[..., :, 1].sum(axis=-1))


def recall(counts: Counts) -> Values:
    """The recall of label 1."""
    return _ratio(counts[..., 1, 1], counts[..., 1, :].sum(axis=-1))


def matthews_correlation(counts: Counts) -> Values:
    """Matthews's coefficient for any number of classes (J. Gorodkin, Comput. Biol. Chem. 28, 2004); 0 where 0 / 0."""
    true, called = counts.sum(axis=-1).astype(float), counts.sum(axis=-2).astype(float)
    right, rows = np.trace(counts, axis1=-2, axis2=-1).astype(float), counts.sum(axis=(-2, -1)).astype(float)
    above = right * rows - (true * called).sum(axis=-1)
    below = np.sqrt((rows**2 - (called**2).sum(axis=-1)) * (rows**2 - (true**2).sum(axis=-1)))
    return np.asarray(np.divide(above, below, out=np.zeros(above.shape), where=below > 0))


FROM_COUNTS: dict[str, Callable[[Counts], Values]] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "precision": precision,
    "recall": recall,
    "matthews_correlation": matthews_correlation,
}
