"""The rated sentences of vaderSentiment: their stars and their splits."""

import pytest

from refit.download import vader


@pytest.mark.parametrize(
    ("rating", "label"), [(-4, 0), (-2.41, 0), (-2.4, 1), (-0.81, 1), (0, 2), (0.81, 3), (2.41, 4), (4, 4)]
)
def test_stars_are_five_bins_of_equal_width(rating: float, label: int) -> None:
    """Prevents ratings at the ends or on a border from getting a wrong star."""
    assert vader.stars(rating) == label
