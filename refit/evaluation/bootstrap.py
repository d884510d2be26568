"""How certain a score is: 95% intervals, and the bootstrap draws that the comparison of two runs is made of.

Rows are drawn with replacement and the score taken of each draw (B. Efron and R. Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13). Rows with the same label and the same predictions are alike, so drawing rows is drawing
from a multinomial how often each such kind occurs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refit.evaluation.metrics import CELLS, SCORES, Ints, Labels, Values, is_right, score

DRAWS = 2_000
SEED = 0
DRAWS_OF_RANKS = 1_000  # at most, of scores that depend on the order of all rows: 20 times as slow as the others
CELLS_AT_ONCE = 2_000_000  # bounds the memory of the draws


def interval(name: str, labels: Labels, predictions: Labels) -> tuple[float, float]:
    """The (low, high) ends of a score's 95% interval; the same for the same rows. It contains the score.

    Accuracy: Wilson's score interval. Other scores of two classes: from the posterior of the confusion matrix, because
    few rows of a class that are all predicted correctly would give a bootstrap interval without width. All others: the
    bootstrap. benchmarks/coverage.py measures how often each contains the true score.
    """
    found = score(name, labels, predictions)
    if SCORES[name].is_mean_of_rows:
        low, high = wilson(is_right(labels, predictions))
    else:
        is_classes = labels.ndim == 1 and not SCORES[name].is_regression
        if is_classes and max(labels.max(), predictions.max()) <= 1:
            draws = _of_posterior(name, labels, predictions)
        else:
            draws = around(found, draw(name, labels, [predictions], DRAWS)[0])
        low, high = np.clip(np.quantile(draws, [0.025, 0.975]), SCORES[name].lowest, 1)
    return min(float(low), found), max(float(high), found)


def wilson(are_right: npt.NDArray[Any]) -> tuple[float, float]:
    """Wilson's 95% interval of the mean of values (rows) that are 0 or 1."""
    from scipy.stats import binomtest

    ends = binomtest(int(are_right.sum()), len(are_right)).proportion_ci(0.95, method="wilson")
    return float(ends.low), float(ends.high)


def _of_posterior(name: str, labels: Labels, predictions: Labels) -> Values:
    """Draws of a score of two classes: the confusion matrix is multinomial, with Jeffreys's prior.

    C. Goutte and E. Gaussier, "A Probabilistic Interpretation of Precision, Recall and F-score", ECIR 2005.
    """
    counts = np.bincount(2 * labels + predictions, minlength=4)
    fractions = np.random.default_rng(SEED).dirichlet(counts + 0.5, DRAWS)
    weights = np.rint(fractions * 1e9).astype(np.int64)
    return SCORES[name].of_draws(weights, *CELLS)


def around(found: float, drawn: Values) -> Values:
    """The draws, moved so that their median is the value found in all rows; its percentile interval contains it.

    A draw has fewer distinct rows than the data. Where classes are rare it therefore lacks some, and its macro F1 is
    another one on average.
    """
    return drawn + (found - np.median(drawn))


def draw(name: str, labels: Labels, runs: Sequence[Labels], draws: int) -> Values:
    """The scores (run, draw) of rows drawn with replacement, the same rows for every run."""
    (label, *predicted), counts = _kinds(name, [labels, *runs])
    generator = np.random.default_rng(SEED)
    found = []
    for size in _parts(name, draws, len(counts)):
        weights = generator.multinomial(len(labels), counts / len(labels), size=size)
        found.append([SCORES[name].of_draws(weights, label, run) for run in predicted])
    return np.concatenate(found, axis=1)


def swap(name: str, labels: Labels, first: Labels, second: Labels, draws: int) -> Values:
    """The differences (draw) of two runs whose predictions for each row were exchanged with a chance of one half.

    So they are distributed if the two runs are equally good (E. Noreen, "Computer-Intensive Methods for Testing
    Hypotheses", 1989).
    """
    (label, one, other), counts = _kinds(name, [labels, first, second])
    generator = np.random.default_rng(SEED)
    both, predicted = np.concatenate([label, label]), np.concatenate([one, other])
    found = []
    for size in _parts(name, draws, 2 * len(counts)):
        kept = generator.binomial(counts, 0.5, size=(size, len(counts)))
        weights = np.concatenate([kept, counts - kept], axis=1), np.concatenate([counts - kept, kept], axis=1)
        before, after = (SCORES[name].of_draws(of_run, both, predicted) for of_run in weights)
        found.append(after - before)
    return np.concatenate(found)


def _kinds(name: str, columns: Sequence[Labels]) -> tuple[list[Labels], Ints]:
    """The different rows of the columns, and how often each occurs.

    They are in the order of their first row: swapping two runs swaps their scores and nothing else.
    """
    if SCORES[name].is_of_ranks:  # hardly any two rows are alike
        return list(columns), np.ones(len(columns[0]), np.int64)
    rows = np.column_stack([column > 0 if column.ndim == 2 else column for column in columns])
    _, first, counts = np.unique(rows, axis=0, return_index=True, return_counts=True)
    order = np.argsort(first)
    return [column[first[order]] for column in columns], counts[order]


def _parts(name: str, draws: int, kinds: int) -> list[int]:
    """The sizes of parts of the draws that fit in memory."""
    draws = min(draws, DRAWS_OF_RANKS) if SCORES[name].is_of_ranks else draws
    step = max(1, CELLS_AT_ONCE // kinds)
    return [min(step, draws - start) for start in range(0, draws, step)]
