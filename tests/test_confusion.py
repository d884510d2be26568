"""Scores of confusion matrices are scikit-learn's, of the same rows and of every matrix in a stack."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from refit.scoring import confusion

MANY = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)
TWO = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)
SKLEARN_OF_TWO = {
    "f1": metrics.f1_score,
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
}


def matrix(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions and how many of each label were called what."""
    labels, predictions = (np.array(column) for column in zip(*rows, strict=True))
    return labels, predictions, confusion.matrix(labels, predictions)


@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=60)
@given(MANY)
def test_of_many_classes_they_are_scikit_learns(rows: list[tuple[int, int]]) -> None:
    """Prevents another definition under a well-known name."""
    labels, predictions, counts = matrix(rows)
    classes = range(len(counts))
    assert np.array_equal(counts, metrics.confusion_matrix(labels, predictions, labels=classes))
    assert confusion.accuracy(counts) == metrics.accuracy_score(labels, predictions)
    macro = metrics.f1_score(labels, predictions, average="macro", zero_division=0)
    assert confusion.macro_f1(counts) == pytest.approx(macro, abs=1e-12)
    matthews = metrics.matthews_corrcoef(labels, predictions)
    assert confusion.matthews_correlation(counts) == pytest.approx(matthews, abs=1e-12)
    each = metrics.precision_recall_fscore_support(labels, predictions, labels=classes, zero_division=0)
    assert confusion.precision_of_each(counts) == pytest.approx(each[0], abs=1e-12)
    assert confusion.recall_of_each(counts) == pytest.approx(each[1], abs=1e-12)
    assert confusion.f1_of_each(counts) == pytest.approx(each[2], abs=1e-12)


@settings(max_examples=60)
@given(TWO, st.sampled_from(sorted(SKLEARN_OF_TWO)))
def test_of_two_classes_they_are_scikit_learns(rows: list[tuple[int, int]], name: str) -> None:
    """Prevents the score of the wrong class, and a failure where one class never occurs."""
    labels, predictions, counts = matrix(rows)
    expected = SKLEARN_OF_TWO[name](labels, predictions, zero_division=0)
    assert confusion.SCORES[name](counts) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", sorted(confusion.SCORES))
def test_a_stack_has_the_scores_of_its_matrices(name: str) -> None:
    """Prevents an interval around another score than the one that is reported."""
    stack = np.random.default_rng(0).integers(0, 9, (20, 2, 2))
    stack[3] = 0
    assert confusion.SCORES[name](stack).tolist() == [float(confusion.SCORES[name](one)) for one in stack]


def test_classes_that_no_row_has_are_counted_too() -> None:
    """Prevents a matrix whose rows are not the task's labels."""
    counts = confusion.matrix(np.array([0, 1]), np.array([1, 1]), classes=4)
    assert counts.tolist() == [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
