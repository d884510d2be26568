"""Whether a model is right as often as it says it is.

C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017: rows are put in
bins by the probability of the predicted label; in each bin their mean is compared with the fraction that is right.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

BINS = 10
Values = npt.NDArray[np.float64]


class Bins(NamedTuple):
    """The tenths of confidence that have rows, least confident first.

    Of each the mean confidence, the fraction that is right, and the number of rows.
    """

    confidence: Values
    accuracy: Values
    rows: npt.NDArray[np.int64]


def bins(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> Bins:
    """The bins of probabilities (rows, labels) and the true labels (rows).

    Multi-label: the bins are of the probabilities of all labels, and right is where the label is there (rows, labels).
    """
    if labels.ndim == 2:
        confidence, right = probabilities.ravel().astype(np.float64), labels.ravel()
    else:
        confidence, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    _, place, rows = np.unique(place, return_inverse=True, return_counts=True)
    return Bins(np.bincount(place, confidence) / rows, np.bincount(place, right) / rows, rows)


def error(found: Bins) -> float:
    """The expected calibration error, 0 to 1: the mean distance of confidence and accuracy over all rows."""
    return float(np.average(np.abs(found.confidence - found.accuracy), weights=found.rows))
