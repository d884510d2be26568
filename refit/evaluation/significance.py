"""Whether the difference of two scores on the same rows is more than chance.

One run against one: McNemar's exact test for accuracy, a paired bootstrap for every other score. Groups of runs that
differ only in their seed: Welch's t test over the seeds, with the variance over the rows added to it. Many
comparisons at once: Holm's correction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from refit.evaluation import bootstrap
from refit.evaluation.metrics import SCORES, Labels, score

LEVEL = 0.05  # a difference is called real below it
DRAWS = 10_000  # of rows, for a p-value: the smallest is 1 / 10,001
GROUP_DRAWS = 1_000  # of rows, for a variance, which needs fewer

Values = npt.NDArray[np.float64]

MCNEMAR = "McNemar's exact test"
BOOTSTRAP = "paired bootstrap"
WELCH = "Welch's t test over seeds and rows"


@dataclass(frozen=True)
class Difference:
    """Second minus first: the difference, its 95% interval, its two-sided p-value and the test that gave it."""

    value: float
    low: float
    high: float
    p: float
    test: str


def difference(name: str, labels: Labels, first: Labels, second: Labels) -> Difference:
    """Compare two runs on the same rows; all three arrays hold one entry a row.

    The interval is the percentile interval of 10,000 paired draws of rows, moved so that their median is the difference
    found. The p-value of accuracy is McNemar's; of any other score it is the share of draws that lie as far from the
    difference found as that lies from 0 (B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter
    16), with one added to both counts, so that it is never 0 (B. Phipson and G. Smyth, Stat. Appl. Genet. Mol. Biol. 9,
    2010).
    """
    test = MCNEMAR if SCORES[name].is_mean_of_rows else BOOTSTRAP
    if np.array_equal(first, second):
        return Difference(value=0.0, low=0.0, high=0.0, p=1.0, test=test)
    found = score(name, labels, second) - score(name, labels, first)
    before, after = bootstrap.draw(name, labels, [first, second], DRAWS)
    draws = bootstrap.around(found, after - before)
    low, high = np.quantile(draws, [0.025, 0.975])
    if SCORES[name].is_mean_of_rows:
        p = mcnemar(labels == first, labels == second)
    else:
        as_far = np.abs(draws - found) >= abs(found) - 1e-12
        p = (1 + int(as_far.sum())) / (1 + len(draws))
    return Difference(value=found, low=float(low), high=float(high), p=p, test=test)


def group_difference(name: str, labels: Labels, first: Sequence[Labels], second: Sequence[Labels]) -> Difference:
    """Compare the mean scores of two groups of runs on the same rows, one of them of two runs or more.

    Two things make such a difference uncertain: which seeds were drawn and which rows (T. Sellam et al., "The
    MultiBERTs", ICLR 2022). The seeds' variance is s1²/k1 + s2²/k2 with the degrees of freedom of B. L. Welch
    (Biometrika 34, 1947); one run alone has no spread of its own and is given the other group's (J. R. Crawford and
    D. C. Howell, Clin. Neuropsychol. 12, 1998). The rows' variance is that of paired draws of rows. Their sum has
    the degrees of freedom of F. E. Satterthwaite (Biometrics Bulletin 2, 1946). The spread over seeds was seen on a
    sample of rows and holds some of the rows' chance too, so the test errs on the side of caution.
    """
    from scipy.special import stdtr, stdtrit

    scores = [np.array([score(name, labels, run) for run in group]) for group in (first, second)]
    found = float(scores[1].mean() - scores[0].mean())
    seeds, seeds_freedom = _variance_over_seeds(*scores)
    drawn = bootstrap.draw(name, labels, [*first, *second], GROUP_DRAWS)
    draws = drawn[len(first) :].mean(axis=0) - drawn[: len(first)].mean(axis=0)
    rows, rows_freedom = float(draws.var(ddof=1)), max(len(labels) - 1, 1)
    variance = seeds + rows
    if variance <= 1e-18:  # every run gives the same answers
        return Difference(value=found, low=found, high=found, p=1.0, test=WELCH)
    freedom = variance**2 / (seeds**2 / seeds_freedom + rows**2 / rows_freedom)
    error = float(np.sqrt(variance))
    reach = float(stdtrit(freedom, 0.975)) * error
    p = float(2 * stdtr(freedom, -abs(found) / error))
    return Difference(value=found, low=found - reach, high=found + reach, p=p, test=WELCH)


def mcnemar(first_is_right: npt.NDArray[np.bool_], second_is_right: npt.NDArray[np.bool_]) -> float:
    """The two-sided exact p-value that the two are right equally often.

    Only the rows count on which one is right and the other wrong; were the two equal, each would be either way with
    probability 1/2 (Q. McNemar, Psychometrika 12, 1947; the binomial test on those rows).
    """
    from scipy.special import bdtr

    worse = int(np.sum(first_is_right & ~second_is_right))
    better = int(np.sum(~first_is_right & second_is_right))
    return min(1.0, 2 * float(bdtr(min(worse, better), worse + better, 0.5))) if worse + better else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for being many, in the order given (S. Holm, Scand. J. Stat. 6, 1979)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _variance_over_seeds(first: Values, second: Values) -> tuple[float, float]:
    """The variance of the difference of two means, and its degrees of freedom."""
    if min(len(first), len(second)) == 1:
        group = max(first, second, key=len)
        return float(group.var(ddof=1)) * (1 + 1 / len(group)), len(group) - 1
    parts = [float(group.var(ddof=1)) / len(group) for group in (first, second)]
    total = sum(parts)
    if total == 0:
        return 0.0, 1.0
    shares = sum(part**2 / (len(group) - 1) for part, group in zip(parts, (first, second), strict=True))
    return total, total**2 / shares
