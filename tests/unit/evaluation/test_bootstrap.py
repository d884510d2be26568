"""Intervals: the fast form draws the same scores as drawing rows does."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.evaluation import bootstrap, significance
from refit.evaluation.metrics import SCORES as REGISTRY
from refit.evaluation.metrics import score

SCORES = sorted(name for name, of in REGISTRY.items() if of.problem_types != ("multi_label",))
OF_SETS = sorted(name for name, of in REGISTRY.items() if "multi_label" in of.problem_types)


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


@pytest.mark.parametrize("name", [name for name in SCORES if not REGISTRY[name].is_regression])
def test_an_interval_contains_the_true_score_where_a_class_is_rare(name: str) -> None:
    """Prevents an interval without width around a perfect score: 60 examples, 3 of the second class."""
    cells = np.array([0.93, 0.02, 0.01, 0.04])  # label and prediction: 00, 01, 10, 11
    labels, predictions = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    truth = REGISTRY[name].of_draws(np.rint(cells[None] * 1e6).astype(np.int64), labels, predictions)[0]
    generator = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        counts = generator.multinomial(60, cells)
        low, high = bootstrap.interval(name, np.repeat(labels, counts), np.repeat(predictions, counts))
        hits += low <= truth <= high
    assert hits >= 182  # 91%; the bootstrap's intervals contain it in 70% to 85%


@pytest.mark.parametrize("name", SCORES)
def test_the_score_of_a_draw_is_that_of_its_rows_written_out(name: str) -> None:
    """Prevents an interval around another score than the one that is reported."""
    generator = np.random.default_rng(4)
    labels = generator.integers(0, 6 if REGISTRY[name].is_regression else 2, 40)
    predictions = np.where(generator.random(40) < 0.5, labels, labels.max() - labels)
    draws = generator.multinomial(40, np.full(40, 1 / 40), size=20)
    written_out = [score(name, np.repeat(labels, draw), np.repeat(predictions, draw)) for draw in draws]
    assert REGISTRY[name].of_draws(draws, labels, predictions) == pytest.approx(written_out, abs=1e-9)


@pytest.mark.parametrize("name", SCORES)
@given(labels=st.lists(st.sampled_from([0] * 9 + [1, 1, 2, 3, 4, 5]), min_size=2, max_size=30), seed=st.integers(0, 99))
def test_an_interval_contains_its_score(name: str, labels: list[int], seed: int) -> None:
    """Prevents an interval that excludes its score where classes are rare: most draws lack some of them."""
    known = np.array(labels) % (2 if name in ("f1", "precision", "recall") else 6)
    predictions = np.random.default_rng(seed).permutation(known) * (seed % 3 > 0)
    low, high = bootstrap.interval(name, known, predictions)
    assert low <= score(name, known, predictions) <= high


def test_many_labels_need_little_memory() -> None:
    """Prevents memory that grows with the square of the number of labels: 60 GB for 2,000 of them."""
    generator = np.random.default_rng(5)
    labels = np.arange(2_000)
    first, second = (np.where(generator.random(2_000) < 0.5, labels, generator.permutation(labels)) for _ in range(2))
    tracemalloc.start()
    for name in ("accuracy", "macro_f1", "matthews_correlation"):
        low, high = bootstrap.interval(name, labels, first)
        assert low < score(name, labels, first) < high
    assert significance.difference("macro_f1", labels, first, second).p > 0.001
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300e6


def label_sets(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of a multi-label task, some of them equal in two rows."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((rows, 3)) < 0.4).astype(np.int8)
    return labels, (np.where(generator.random((rows, 3)) < 0.3, 1 - labels, labels) - generator.random((rows, 3)))


@pytest.mark.parametrize("name", OF_SETS)
def test_draws_of_several_labels_are_those_of_rows_written_out(name: str) -> None:
    """Prevents an interval or a test of another score than the one that is reported."""
    labels, predictions = label_sets(40, 5)
    draws = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40), size=20)
    written_out = [score(name, np.repeat(labels, draw, axis=0), np.repeat(predictions, draw, axis=0)) for draw in draws]
    assert REGISTRY[name].of_draws(draws, labels, predictions) == pytest.approx(written_out, abs=1e-9)
    low, high = bootstrap.interval(name, labels, predictions)
    assert low <= score(name, labels, predictions) <= high


@pytest.mark.parametrize("name", OF_SETS)
def test_a_difference_of_several_labels_is_tested(name: str) -> None:
    """Prevents a clear gain that is called chance, and chance that is called a gain."""
    labels, good = label_sets(300, 6)
    bad = np.where(np.random.default_rng(2).random(labels.shape) < 0.3, -good, good)
    assert significance.difference(name, labels, bad, good).p < 0.01
    _, other = label_sets(300, 7)
    first = significance.difference(name, labels, good, np.where(np.arange(300)[:, None] % 2, good, other))
    assert first.value < 0
    assert significance.difference(name, labels, good, good).p == 1.0
