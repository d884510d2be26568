"""Bins of confidence and the expected calibration error, against values worked by hand."""

import numpy as np
import pytest

from refit.evaluation import calibration


def test_bins_and_error_by_hand() -> None:
    """A wrong bin or weight would praise a model that is too sure of itself."""
    chances = np.array([[0.95, 0.05], [0.92, 0.08], [0.35, 0.65], [0.61, 0.39]], np.float32)
    labels = np.array([0, 1, 1, 1])
    found = calibration.bins(chances, labels)
    assert [(b.rows, b.accuracy) for b in found] == [(2, 0.5), (2, 0.5)]
    assert [b.confidence for b in found] == pytest.approx([0.63, 0.935])
    assert calibration.error(found) == pytest.approx((2 * 0.13 + 2 * 0.435) / 4)


def test_full_certainty_lies_in_the_last_bin() -> None:
    """A probability of exactly 1 must not fall off the end."""
    (only,) = calibration.bins(np.array([[1.0, 0.0]], np.float32), np.array([0]))
    assert (only.confidence, only.accuracy, only.rows) == (1.0, 1.0, 1)
    assert calibration.error([only]) == 0.0
