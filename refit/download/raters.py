"""The human ceiling of a task whose labels are mean ratings: how well its raters predict each other."""

from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
import numpy.typing as npt

from refit.evaluation.metrics import Labels, score

SEEDS = range(5)
# Who predicts the mean rating of the others: how many of an example's raters.
PREDICTORS: dict[str, Callable[[int], int]] = {"one rater": lambda raters: 1, "half of the raters": lambda n: n // 2}

Ratings = npt.NDArray[np.float64]  # of one example, one entry per rater


def ceiling(
    ratings: Sequence[Ratings], label_of: Callable[[float], float], scores: Sequence[str]
) -> dict[str, dict[str, float]]:
    """What one rater, and a random half of the raters, score against the mean of the others.

    `ratings` has one array per example, `label_of` maps a mean rating to the task's label. Each score is the mean over
    five seeds, with six decimals.
    """
    found = {}
    for who, count in PREDICTORS.items():
        draws = [_labels(ratings, label_of, count, seed) for seed in SEEDS]
        found[who] = {name: round(fmean(score(name, *draw) for draw in draws), 6) for name in scores}
    return found


def _labels(
    ratings: Sequence[Ratings], label_of: Callable[[float], float], count: Callable[[int], int], seed: int
) -> tuple[Labels, Labels]:
    """The labels by the other raters and those by `count` raters drawn at random, one of each per example."""
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(of_example) for of_example in ratings]
    others = [label_of(of_example[count(len(of_example)) :].mean()) for of_example in shuffled]
    predictors = [label_of(of_example[: count(len(of_example))].mean()) for of_example in shuffled]
    return np.array(others), np.array(predictors)
