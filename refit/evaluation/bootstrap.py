"""How certain a score is: bootstrap intervals, and the draws that the comparison of two runs is made of.

Rows are drawn with replacement and the score taken of each draw (B. Efron and R. Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13). Rows with the same label and the same predictions are alike, so drawing rows is drawing
from a multinomial how often each such kind occurs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from refit.evaluation import confusion, scores
from refit.evaluation.confusion import Ints, Values
from refit.evaluation.scores import Labels

DRAWS = 2_000
SEED = 0
CELLS_AT_ONCE = 2_000_000  # bounds the memory of the draws
SIGNED = ("matthews_correlation", *scores.REGRESSION)  # from -1 to 1; the others are from 0 to 1


def interval(name: str, labels: Labels, predictions: Labels) -> tuple[float, float]:
    """The (low, high) ends of a score's 95% bootstrap interval; the same for the same rows."""
    found = scores.score(name, labels, predictions)
    ends = np.quantile(around(found, draw(name, labels, [predictions], DRAWS)[0]), [0.025, 0.975])
    low, high = np.clip(ends, -1 if name in SIGNED else 0, 1)
    return float(low), float(high)


def around(found: float, drawn: Values) -> Values:
    """The draws, moved so that their median is the value found in all rows; its percentile interval contains it.

    A draw has fewer distinct rows than the data. Where classes are rare it therefore lacks some, and its macro F1 is
    another one on average.
    """
    return drawn + (found - np.median(drawn))


def draw(name: str, labels: Labels, runs: Sequence[Labels], draws: int) -> Values:
    """The scores (run, draw) of rows drawn with replacement, the same rows for every run.

    The kinds of rows are in the order of their first row: swapping two runs swaps their scores and nothing else.
    """
    _, first, counts = np.unique(np.stack([labels, *runs]), axis=1, return_index=True, return_counts=True)
    order = np.argsort(first)
    kinds, shares = [column[first[order]] for column in (labels, *runs)], counts[order] / len(labels)
    if name in confusion.SCORES:  # only classes that occur are counted, and label 1, which some scores are of
        _, places = np.unique(np.concatenate([*kinds, [0, 1]]), return_inverse=True)
        kinds = list(places[:-2].reshape(len(kinds), -1))
    generator = np.random.default_rng(SEED)
    step = max(1, CELLS_AT_ONCE // len(shares))
    found = []
    for start in range(0, draws, step):
        weights = generator.multinomial(len(labels), shares, size=min(step, draws - start))
        found.append([_score(name, kinds[0], run, weights) for run in kinds[1:]])
    return np.concatenate(found, axis=1)


def _score(name: str, labels: Labels, predictions: Labels, weights: Ints) -> Values:
    """The score of each draw of weights (draw, row), which say how often a row occurs."""
    if name in confusion.SCORES:
        return confusion.SCORES[name](confusion.count(labels, predictions, weights))
    if name == "spearmanr":
        return _correlation(weights, _ranks(weights, labels), _ranks(weights, predictions))
    # A test holds that every score of refit/evaluation/scores.py has draws.
    assert name == "pearson", f"no draws of {name}"
    return _correlation(weights, labels.astype(np.float64), predictions.astype(np.float64))


def _correlation(weights: Ints, x: Values, y: Values) -> Values:
    """Pearson's correlation of weighted values, (draw, row) or (row); 0 where one side is constant."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    together, of_x, of_y = ((weights * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y)))
    below = np.sqrt(of_x * of_y)
    return np.asarray(np.divide(together, below, out=np.zeros_like(together), where=below > 1e-12))


def _ranks(weights: Ints, values: npt.NDArray[np.float64]) -> Values:
    """Each row's rank in each draw, equal values sharing the middle of their ranks."""
    distinct, position = np.unique(values, return_inverse=True)
    of_value = confusion.totals(weights, position, len(distinct))
    middle = np.cumsum(of_value, axis=1) - of_value / 2
    return np.asarray(middle[:, position])
