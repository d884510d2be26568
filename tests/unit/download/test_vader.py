"""The rated sentences of vaderSentiment: their stars, and what raters score against each other."""

import numpy as np
import pytest

from refit.download import vader


@pytest.mark.parametrize(
    ("rating", "label"), [(-4, 0), (-2.41, 0), (-2.4, 1), (-0.81, 1), (0, 2), (0.81, 3), (2.41, 4), (4, 4)]
)
def test_stars_are_five_bins_of_equal_width(rating: float, label: int) -> None:
    """Prevents ratings at the ends or on a border from getting a wrong star."""
    assert vader.stars(rating) == label


def ratings(noise: float, examples: int = 400) -> list[vader.Ratings]:
    """Ten whole-number ratings of each example: its value, -4 to 4, with noise."""
    generator = np.random.default_rng(0)
    values = generator.uniform(-4, 4, examples)
    return [np.rint(value + generator.normal(0, noise, 10)).clip(-4, 4) for value in values]


def test_raters_who_agree_score_one() -> None:
    """Prevents scores of ratings against those of another example."""
    found = vader.ceiling(ratings(0.0), float, ["pearson"])
    assert found == {"one rater": {"pearson": pytest.approx(1)}, "half of the raters": {"pearson": pytest.approx(1)}}


def test_half_of_the_raters_score_higher_than_one_and_noise_lowers_both() -> None:
    """Prevents a mean that contains the rater it is compared with, and the two figures swapped."""
    low, high = (vader.ceiling(ratings(noise), lambda mean: int(mean > 0), ["accuracy"]) for noise in (3.0, 0.5))
    for who in vader.PREDICTORS:
        assert 0.5 < low[who]["accuracy"] < high[who]["accuracy"] < 1
    assert low["one rater"]["accuracy"] < low["half of the raters"]["accuracy"]
    assert low == vader.ceiling(ratings(3.0), lambda mean: int(mean > 0), ["accuracy"])  # the same every time
