"""Bins of confidence and the expected calibration error, against values worked by hand."""

import numpy as np
import pytest

from refit.evaluation import calibration


def test_bins_and_error_by_hand() -> None:
    """Prevents a wrong bin or weight, which would praise an overconfident model, and 1.0 from falling off the end."""
    chances = np.array([[1.0, 0.0], [0.92, 0.08], [0.35, 0.65], [0.61, 0.39]], np.float32)
    labels = np.array([0, 1, 1, 1])
    found = calibration.bins(chances, labels)
    assert (found.rows.tolist(), found.accuracy.tolist()) == ([2, 2], [0.5, 0.5])
    assert found.confidence == pytest.approx([0.63, 0.96])
    assert calibration.error(found) == pytest.approx((2 * 0.13 + 2 * 0.46) / 4)
