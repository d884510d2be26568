"""The paired tests: textbook values, symmetry, and how often they call chance real."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from refit.evaluation import significance

Labels = npt.NDArray[np.int64]
runs_of_rows = st.integers(1, 60).flatmap(
    lambda rows: st.tuples(*[st.lists(st.integers(0, 3), min_size=rows, max_size=rows) for _ in range(3)])
)


def simulated(generator: np.random.Generator, labels: Labels, share: float) -> Labels:
    """Predictions that are right on a fraction of the examples and random on the others."""
    return np.where(generator.random(len(labels)) < share, labels, generator.integers(0, 3, len(labels)))


@pytest.mark.parametrize(("better", "worse", "p"), [(0, 0, 1.0), (3, 3, 1.0), (1, 5, 0.21875), (0, 6, 0.03125)])
def test_mcnemar_is_the_exact_two_sided_p_value(better: int, worse: int, p: float) -> None:
    """Prevents the one-sided p-value, and one that counts the examples on which both runs agree."""
    first = np.array([True] * worse + [False] * better + [True, False])
    second = np.array([False] * worse + [True] * better + [True, False])
    assert significance.mcnemar(first, second) == pytest.approx(p)


@settings(max_examples=40, deadline=None)
@given(runs_of_rows, st.sampled_from(["accuracy", "macro_f1", "matthews_correlation"]))
def test_swapping_the_runs_negates_the_difference_and_keeps_p(rows: tuple[list[int], ...], name: str) -> None:
    """Prevents a verdict that depends on the order of the revisions."""
    labels, first, second = (np.array(column) for column in rows)
    assert significance.difference(name, labels, first, first.copy()).p == 1
    there = significance.difference(name, labels, first, second)
    back = significance.difference(name, labels, second, first)
    assert there.p == back.p
    assert 0 < there.p <= 1
    assert there.low <= there.value <= there.high
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-12)


def test_holm_gives_the_textbook_example() -> None:
    """Prevents another correction, such as Bonferroni's."""
    assert significance.holm([0.01, 0.04, 0.03, 0.005, 0.9]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "matthews_correlation", "pearson"])
def test_chance_is_called_real_in_at_most_5_percent(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a test that finds differences where there are none."""
    monkeypatch.setattr(significance, "DRAWS", 400)
    generator = np.random.default_rng(3)
    p_values = []
    for _ in range(100):
        labels = generator.integers(0, 3, 200)
        first, second = simulated(generator, labels, 0.5), simulated(generator, labels, 0.5)
        p_values.append(significance.difference(name, labels, first, second).p)
    assert np.mean(np.array(p_values) < 0.05) <= 0.116  # 5% plus three standard errors of 100 tries
    if name != "accuracy":  # an exact test of counts is conservative; the bootstrap should be near its level
        assert kstest(p_values, "uniform").statistic < 0.17


@pytest.mark.parametrize(("before", "after"), [(2, 2), (3, 5), (1, 4), (5, 1)])
def test_groups_of_equal_settings_are_called_different_in_at_most_5_percent(before: int, after: int) -> None:
    """Prevents a test of the examples alone: it calls seeds of one setting different, because their skill varies."""
    generator = np.random.default_rng(4)
    p_values = []
    for _ in range(100):
        labels = generator.integers(0, 3, 300)
        runs = [simulated(generator, labels, generator.normal(0.6, 0.06)) for _ in range(before + after)]
        p_values.append(significance.group_difference("accuracy", labels, runs[:before], runs[before:]).p)
    assert np.mean(np.array(p_values) < 0.05) <= 0.097  # 0.05 and three standard errors of 200 tries


def test_a_large_difference_is_found_by_every_test() -> None:
    """Prevents tests so careful that they never find anything."""
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 3, 300)
    poor, good = ([simulated(generator, labels, share) for _ in range(4)] for share in (0.3, 0.8))
    for name in ("accuracy", "macro_f1"):
        assert significance.difference(name, labels, poor[0], good[0]).p < 0.001
        found = significance.group_difference(name, labels, poor, good)
        assert found.p < 0.001
        assert 0 < found.low < found.value < found.high
    assert significance.group_difference("accuracy", labels, poor[:1], good).p < 0.01


def test_swapping_the_groups_negates_the_difference_and_equal_groups_have_none() -> None:
    """Prevents a verdict that depends on the order of the revisions, and a division by a variance of zero."""
    generator = np.random.default_rng(6)
    labels = generator.integers(0, 3, 100)
    first, second = ([simulated(generator, labels, 0.5) for _ in range(3)] for _ in range(2))
    there = significance.group_difference("macro_f1", labels, first, second)
    back = significance.group_difference("macro_f1", labels, second, first)
    assert (there.value, there.p) == pytest.approx((-back.value, back.p))
    equal = significance.group_difference("accuracy", labels, [labels, labels], [labels])
    assert (equal.value, equal.p) == (0, 1)
