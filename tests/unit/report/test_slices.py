"""Scores by group of rows."""

import numpy as np
import pytest

from refit.report import slices


def test_groups_hold_every_row_once_and_do_not_split_equal_rows() -> None:
    """Two groups of the same length would be a comparison of nothing."""
    feature = np.array([5] * 40 + list(range(6, 66)))
    groups = slices.by(feature, np.arange(100) % 2 * 1.0, is_fraction=True)
    assert sum(group.rows for group in groups) == 100
    assert [group.name for group in groups] == ["5", "6–25", "26–45", "46–65"]
    assert groups[0].rows == 40
    assert groups[0].interval == pytest.approx((0.352, 0.648), abs=1e-3)  # Wilson's interval of 20 in 40


def test_rows_that_are_all_alike_make_one_group() -> None:
    """Data whose rows are all of one length has to have a page too."""
    (only,) = slices.by(np.full(9, 12), np.ones(9), is_fraction=False)
    assert (only.rows, only.mean, only.interval) == (9, 1.0, (1.0, 1.0))
