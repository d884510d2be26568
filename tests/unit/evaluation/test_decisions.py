"""From logits to predictions: thresholds are the best on validation, and are the same when they are read again."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import f1_score

from refit.evaluation import decisions, predictions
from refit.evaluation.metrics import score


def made(seed: int, rows: int = 40, labels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Logits, some of them equal, and labels that depend on them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, (rows, labels)).round(1).astype(np.float32)
    return logits, (generator.random((rows, labels)) < expit(logits)).astype(np.int8)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_no_other_threshold_has_a_better_f1_of_a_label(seed: int, rows: int) -> None:
    """Prevents a threshold that is best for nothing, and one that rounding moves to the other side of a value."""
    logits, labels = made(seed, rows)
    found = decisions.predictions(logits, "multi_label", decisions.best_thresholds(logits, labels, "multi_label", ""))
    for index in range(labels.shape[1]):
        values, truth = logits[:, index], labels[:, index]
        if 0 < truth.sum() < rows:
            cuts = [f1_score(truth, values >= value, zero_division=0) for value in np.unique(values)[1:]]
            best = max([*cuts, 0.0 if cuts else f1_score(truth, values > 0, zero_division=0)])
            assert f1_score(truth, found[:, index] > 0, zero_division=0) == pytest.approx(best)


@pytest.mark.parametrize("name", ["f1", "macro_f1", "accuracy", "matthews_correlation"])
def test_the_threshold_of_two_classes_is_the_best_for_the_score(name: str) -> None:
    """Prevents the threshold of another score, and a best one that is worse than argmax."""
    generator = np.random.default_rng(0)
    labels = (generator.random(200) < 0.15).astype(np.int64)
    logits = np.stack([np.zeros(200), labels * 1.5 - 2 + generator.normal(size=200)], axis=1).astype(np.float32)
    thresholds = decisions.best_thresholds(logits, labels, "classification", name)
    found = decisions.predictions(logits, "classification", thresholds)
    every = [score(name, labels, (logits[:, 1] >= cut).astype(np.int64)) for cut in np.unique(logits[:, 1])[1:]]
    assert score(name, labels, found) == pytest.approx(max(every))
    assert score(name, labels, found) >= score(name, labels, decisions.predictions(logits, "classification"))


def test_thresholds_in_a_config_are_found_by_the_names_of_labels() -> None:
    """Prevents thresholds of other labels: transformers writes config.json with sorted keys."""
    stored = json.loads(json.dumps({"thresholds": decisions.to_config([0.3, 0.1], ["b", "a"])}, sort_keys=True))
    assert decisions.of_config(stored, ["b", "a"]) == [0.3, 0.1]
    assert decisions.of_config({"thresholds": decisions.to_config([0.2], ["no", "yes"])}, ["no", "yes"]) == [0.2]
    assert decisions.to_config([0.2], ["no", "yes"]) == {"yes": 0.2}
    assert decisions.of_config({}, ["no", "yes"]) == []


@given(st.integers(0, 10_000))
def test_predictions_are_the_same_when_they_are_read_from_the_file(seed: int) -> None:
    """Prevents compare from computing other scores than evaluate."""
    logits, labels = made(seed)
    predicted = decisions.predictions(logits, "multi_label", [0.2, 0.5, 0.9])
    chances = decisions.probabilities(logits, "multi_label")
    table = predictions.table("test", np.arange(len(labels)), labels, predicted, chances)
    for expected, found in zip((labels, predicted), predictions.arrays(table), strict=True):
        assert np.array_equal(expected, found)
