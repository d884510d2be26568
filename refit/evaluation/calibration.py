"""Whether a model is right as often as it says it is.

C. Guo, G. Pleiss, Y. Sun and K. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017: rows are put in
bins by the probability of the predicted label; in each bin the mean of these is held against the share that is right.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 10


@dataclass(frozen=True)
class Bin:
    """The rows whose confidence lies in one tenth: their mean confidence, the share that is right, how many."""

    confidence: float
    accuracy: float
    rows: int


def bins(probabilities: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> list[Bin]:
    """The bins that have rows, least confident first, of probabilities (rows, labels) and the true labels (rows).

    Multi-label: the bins are of the probabilities of all labels, and right is where the label is there (rows, labels).
    """
    if labels.ndim == 2:
        confidence, right = (of.ravel().astype(np.float64) for of in (probabilities, labels))
    else:
        confidence = probabilities.max(axis=1).astype(np.float64)
        right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    place = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    sums = (np.bincount(place, weights=values, minlength=BINS) for values in (confidence, right))
    return [
        Bin(float(sure / count), float(hits / count), int(count))
        for sure, hits, count in zip(*sums, rows, strict=True)
        if count
    ]


def error(parts: list[Bin]) -> float:
    """The expected calibration error, 0 to 1: the mean distance of confidence and accuracy over all rows."""
    return sum(part.rows * abs(part.confidence - part.accuracy) for part in parts) / sum(part.rows for part in parts)
