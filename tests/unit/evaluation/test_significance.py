"""Tests of comparing/significance.py against SciPy, by properties, and by how often chance is called real."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest

from refit.evaluation import metrics, significance

Labels = npt.NDArray[np.int64]
SCORES = sorted(metrics.SCORES)
runs_of_rows = st.integers(1, 60).flatmap(
    lambda rows: st.tuples(*[st.lists(st.integers(0, 3), min_size=rows, max_size=rows) for _ in range(3)])
)


def simulated(generator: np.random.Generator, labels: Labels, share: float) -> Labels:
    """Predictions that are right on a share of the rows and anything on the others."""
    return np.where(generator.random(len(labels)) < share, labels, generator.integers(0, 3, len(labels)))


@given(runs_of_rows)
def test_mcnemar_is_the_binomial_test_on_the_rows_that_differ(rows: tuple[list[int], ...]) -> None:
    labels, first, second = (np.array(column) for column in rows)
    was, now = labels == first, labels == second
    better, differ = int(np.sum(~was & now)), int(np.sum(was != now))
    expected = binomtest(better, differ, 0.5).pvalue if differ else 1.0
    assert significance.mcnemar(was, now) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(runs_of_rows, st.sampled_from(["accuracy", "macro_f1", "matthews_correlation"]))
def test_swapping_the_runs_turns_the_difference_round_and_keeps_p(rows: tuple[list[int], ...], name: str) -> None:
    labels, first, second = (np.array(column) for column in rows)
    there = significance.difference(name, labels, first, second)
    back = significance.difference(name, labels, second, first)
    assert there.p == back.p
    assert 0 < there.p <= 1
    assert there.low <= there.value <= there.high
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-12)


@pytest.mark.parametrize("name", SCORES)
def test_the_same_predictions_are_never_called_different(name: str) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 50)
    predictions = generator.integers(0, 2, 50)
    found = significance.difference(name, labels, predictions, predictions.copy())
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_never_lowers_a_p_value(p_values: list[float]) -> None:
    corrected = significance.holm(p_values)
    assert all(p <= more <= 1 for p, more in zip(p_values, corrected, strict=True))
    by_p = [corrected[index] for index in sorted(range(len(p_values)), key=lambda index: p_values[index])]
    assert by_p == sorted(by_p)
    assert min(corrected) == min(1, len(p_values) * min(p_values))


def test_holm_gives_the_textbook_example() -> None:
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "matthews_correlation", "pearson"])
def test_chance_is_called_real_no_more_often_than_it_may(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(significance, "DRAWS", 400)
    generator = np.random.default_rng(3)
    p_values = []
    for _ in range(200):
        labels = generator.integers(0, 3, 200)
        first, second = simulated(generator, labels, 0.5), simulated(generator, labels, 0.5)
        p_values.append(significance.difference(name, labels, first, second).p)
    assert np.mean(np.array(p_values) < 0.05) <= 0.097  # 0.05 and three standard errors of 200 tries
    if name != "accuracy":  # an exact test of counts keeps below its level; the bootstrap should be near it
        assert kstest(p_values, "uniform").statistic < 0.12


@pytest.mark.parametrize(("before", "after"), [(2, 2), (3, 5), (1, 4), (5, 1)])
def test_groups_of_equal_settings_are_called_different_no_more_often_than_they_may(before: int, after: int) -> None:
    """Runs whose skill varies with the seed, on one sample of rows: an unpaired test of rows alone fails this."""
    generator = np.random.default_rng(4)
    p_values = []
    for _ in range(200):
        labels = generator.integers(0, 3, 300)
        runs = [simulated(generator, labels, generator.normal(0.6, 0.06)) for _ in range(before + after)]
        p_values.append(significance.group_difference("accuracy", labels, runs[:before], runs[before:]).p)
    assert np.mean(np.array(p_values) < 0.05) <= 0.097  # 0.05 and three standard errors of 200 tries


def test_a_large_difference_is_found_by_every_test() -> None:
    generator = np.random.default_rng(5)
    labels = generator.integers(0, 3, 300)
    poor, good = ([simulated(generator, labels, share) for _ in range(4)] for share in (0.3, 0.8))
    for name in ("accuracy", "macro_f1"):
        assert significance.difference(name, labels, poor[0], good[0]).p < 0.001
        found = significance.group_difference(name, labels, poor, good)
        assert found.p < 0.001
        assert 0 < found.low < found.value < found.high
    assert significance.group_difference("accuracy", labels, poor[:1], good).p < 0.01


def test_groups_that_all_say_the_same_do_not_differ() -> None:
    labels = np.array([0, 1, 1, 0])
    found = significance.group_difference("accuracy", labels, [labels, labels], [labels, labels, labels])
    assert (found.value, found.p) == (0, 1)


def test_swapping_groups_turns_the_difference_round() -> None:
    generator = np.random.default_rng(6)
    labels = generator.integers(0, 3, 100)
    first, second = ([simulated(generator, labels, 0.5) for _ in range(3)] for _ in range(2))
    there = significance.group_difference("macro_f1", labels, first, second)
    back = significance.group_difference("macro_f1", labels, second, first)
    assert (there.value, there.p) == pytest.approx((-back.value, back.p))
