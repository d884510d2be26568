"""Paired significance tests: is the difference of two scores on the same examples more than chance?

Two runs: McNemar's exact test for accuracy, a randomization test for every other score. Groups of runs that differ only
in their seed: Welch's t test over the seeds, with the variance over the examples added. Several comparisons: Holm's
correction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refit.evaluation import bootstrap
from refit.evaluation.metrics import SCORES, Labels, is_right, score

LEVEL = 0.05  # a difference with a lower p-value is called real
DRAWS = 10_000  # bootstrap draws for a p-value, which is at least 1 / 10,001
GROUP_DRAWS = 1_000  # bootstrap draws for a variance, which needs fewer

Values = npt.NDArray[np.float64]

MCNEMAR = "McNemar's exact test"
RANDOMIZATION = "randomization test"
WELCH = "Welch's t test over seeds and rows"


@dataclass(frozen=True)
class Difference:
    """Second score minus first, with its 95% interval, two-sided p-value and the name of the test."""

    value: float
    low: float
    high: float
    p: float
    test: str


def difference(name: str, labels: Labels, first: Labels, second: Labels) -> Difference:
    """Compare two runs by the score `name`; the arrays hold the labels and both runs' predictions, one per example.

    The interval is that of paired bootstrap draws. The p-value of accuracy is McNemar's. Of any other score it is a
    randomization test's: the fraction of draws, in each of which the predictions for every example are exchanged or
    not, with a difference at least as large. One is added to both counts, so that it is never 0 (B. Phipson and
    G. Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010).
    """
    found = score(name, labels, second) - score(name, labels, first)
    before, after = bootstrap.draw(name, labels, [first, second], DRAWS)
    draws = bootstrap.around(found, after - before)
    low, high = np.quantile(draws, [0.025, 0.975])
    if SCORES[name].is_mean_of_rows:
        test, p = MCNEMAR, mcnemar(is_right(labels, first), is_right(labels, second))
    else:
        as_far = np.abs(bootstrap.swap(name, labels, first, second, DRAWS)) >= abs(found) - 1e-12
        test, p = RANDOMIZATION, (1 + int(as_far.sum())) / (1 + len(as_far))
    return Difference(value=found, low=float(low), high=float(high), p=p, test=test)


def group_difference(name: str, labels: Labels, first: Sequence[Labels], second: Sequence[Labels]) -> Difference:
    """Compare the mean scores of two groups of runs on the same examples; at least one group has two runs or more.

    The variance is the sum of that over seeds, s1²/k1 + s2²/k2 (B. L. Welch, Biometrika 34, 1947), and that over
    examples, of paired bootstrap draws, with the degrees of freedom of F. E. Satterthwaite (Biometrics Bulletin 2,
    1946). A single run is assumed to vary like the other group (J. R. Crawford and D. C. Howell, Clin. Neuropsychol.
    12, 1998). The spread over seeds contains some variance over examples, too, so the test is conservative.
    """
    from scipy.stats import t

    scores = [np.array([score(name, labels, run) for run in group]) for group in (first, second)]
    found = float(scores[1].mean() - scores[0].mean())
    seeds, seeds_freedom = _variance_over_seeds(*scores)
    drawn = bootstrap.draw(name, labels, [*first, *second], GROUP_DRAWS)
    draws = drawn[len(first) :].mean(axis=0) - drawn[: len(first)].mean(axis=0)
    rows, rows_freedom = float(draws.var(ddof=1)), max(len(labels) - 1, 1)
    variance = seeds + rows
    if variance <= 1e-18:  # all runs have the same predictions
        return Difference(value=found, low=found, high=found, p=1.0, test=WELCH)
    freedom = variance**2 / (seeds**2 / seeds_freedom + rows**2 / rows_freedom)
    error = float(np.sqrt(variance))
    reach = float(t.ppf(0.975, freedom)) * error
    p = float(2 * t.sf(abs(found) / error, freedom))
    return Difference(value=found, low=found - reach, high=found + reach, p=p, test=WELCH)


def mcnemar(first_is_right: npt.NDArray[np.bool_], second_is_right: npt.NDArray[np.bool_]) -> float:
    """The two-sided exact p-value of the hypothesis that two runs are right equally often.

    It is the binomial test on the examples that exactly one of them gets right (Q. McNemar, Psychometrika 12, 1947).
    """
    from scipy.stats import binomtest

    better, discordant = int(np.sum(second_is_right & ~first_is_right)), int(np.sum(first_is_right != second_is_right))
    return float(binomtest(better, discordant).pvalue) if discordant else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values, in the order given, corrected for multiple comparisons (S. Holm, Scand. J. Stat. 6, 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _variance_over_seeds(first: Values, second: Values) -> tuple[float, float]:
    """The variance of the difference of two groups' mean scores, and its degrees of freedom."""
    if min(len(first), len(second)) == 1:
        group = max(first, second, key=len)
        return float(group.var(ddof=1)) * (1 + 1 / len(group)), len(group) - 1
    parts = [float(group.var(ddof=1)) / len(group) for group in (first, second)]
    total = sum(parts)
    if total == 0:
        return 0.0, 1.0
    shares = sum(part**2 / (len(group) - 1) for part, group in zip(parts, (first, second), strict=True))
    return total, total**2 / shares
