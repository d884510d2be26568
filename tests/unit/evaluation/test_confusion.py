"""Scores of counts per class are scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from refit.evaluation import confusion

MANY = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)
TWO = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)
SKLEARN_OF_TWO = {
    "f1": metrics.f1_score,
    "precision": metrics.precision_score,
    "recall": metrics.recall_score,
}


def counted(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, confusion.Counts]:
    """Labels, predictions and their counts per class."""
    labels, predictions = (np.array(column) for column in zip(*rows, strict=True))
    return labels, predictions, confusion.count(labels, predictions)


@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=60)
@given(MANY)
def test_of_many_classes_they_are_scikit_learns(rows: list[tuple[int, int]]) -> None:
    """Prevents another definition under a well-known name."""
    labels, predictions, counts = counted(rows)
    classes = range(len(counts.labels))
    matrix = metrics.confusion_matrix(labels, predictions, labels=classes)
    assert counts.labels.tolist() == matrix.sum(axis=1).tolist()
    assert counts.predictions.tolist() == matrix.sum(axis=0).tolist()
    assert counts.right.tolist() == matrix.diagonal().tolist()
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
    labels, predictions, counts = counted(rows)
    expected = SKLEARN_OF_TWO[name](labels, predictions, zero_division=0)
    assert confusion.SCORES[name](counts) == pytest.approx(expected, abs=1e-12)


def test_classes_without_rows_are_counted_too() -> None:
    """Prevents columns that are not the task's labels."""
    counts = confusion.count(np.array([0, 1]), np.array([1, 1]), classes=4)
    assert counts.labels.tolist() == [1, 1, 0, 0]
    assert counts.predictions.tolist() == [0, 2, 0, 0]
    assert counts.right.tolist() == [0, 1, 0, 0]
