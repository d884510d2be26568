"""Intervals: the fast form draws the same scores as drawing rows does."""

import numpy as np
import pytest

from refit.scoring import bootstrap
from refit.scoring.scores import score


def test_an_interval_is_that_of_drawing_rows() -> None:
    """Prevents intervals that are too narrow or off centre."""
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 400)
    predictions = np.where(generator.random(400) < 0.8, labels, 1 - labels)
    draws = generator.integers(0, 400, (2000, 400))
    for name in ("accuracy", "f1", "matthews_correlation"):
        values = [score(name, labels[draw], predictions[draw]) for draw in draws[:800]]
        low, high = bootstrap.interval(name, labels, predictions)
        assert (low, high) == pytest.approx(np.quantile(values, [0.025, 0.975]), abs=0.012)


def test_an_interval_of_correlations_holds_the_value() -> None:
    """Prevents regression from having no interval."""
    generator = np.random.default_rng(2)
    labels = generator.normal(size=200)
    predictions = labels + generator.normal(size=200)
    low, high = bootstrap.interval("pearson", labels, predictions)
    assert low < np.corrcoef(labels, predictions)[0, 1] < high
    assert bootstrap.interval("pearson", labels, predictions) == (low, high)


def test_coverage_is_near_what_is_promised() -> None:
    """Prevents 95% intervals that hold the truth much less often."""
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        labels = np.zeros(300, dtype=np.int64)
        predictions = (generator.random(300) > 0.7).astype(np.int64)
        low, high = bootstrap.interval("accuracy", labels, predictions)
        held += low <= 0.7 <= high
    assert 180 <= held <= 199
