"""How sure a score is: percentile bootstrap intervals.

Rows are drawn with replacement 2,000 times and the score taken of each draw (B. Efron and R. Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 13). A classification score depends on the rows only through the
confusion matrix, and drawing rows is drawing its cells from a multinomial: so the draws cost nothing.
"""

import numpy as np

from refit.scoring import confusion, scores
from refit.scoring.scores import Labels

DRAWS = 2_000
SEED = 0


def interval(name: str, labels: Labels, predictions: Labels, level: float = 0.95) -> tuple[float, float]:
    """The (low, high) ends of a score's bootstrap interval; the same for the same rows."""
    generator = np.random.default_rng(SEED)
    if name in confusion.SCORES:
        counts = confusion.matrix(labels, predictions)
        draws = generator.multinomial(len(labels), counts.ravel() / counts.sum(), size=DRAWS)
        values = confusion.SCORES[name](draws.reshape(DRAWS, *counts.shape))
    else:
        draws = generator.integers(0, len(labels), size=(DRAWS // 4, len(labels)))
        values = np.array([scores.score(name, labels[draw], predictions[draw]) for draw in draws])
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
