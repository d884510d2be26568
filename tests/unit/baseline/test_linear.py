"""The linear model of the baseline."""

import numpy as np
import pytest
from scipy import sparse

from refit.baseline import linear
from refit.data.task_record import ProblemType
from refit.evaluation.metrics import score


def examples(rows: int = 300, *, is_regression: bool = False) -> tuple[sparse.csr_array, np.ndarray]:
    """Features and labels that depend on them, with noise."""
    generator = np.random.default_rng(0)
    features = sparse.csr_array(generator.random((rows, 40)) * (generator.random((rows, 40)) < 0.3))
    values = features @ generator.normal(size=40) + generator.normal(0, 0.1, rows)
    return features, values.astype(np.float32) if is_regression else np.digitize(values, [-1, 1])


@pytest.mark.parametrize(
    ("kind", "name"), [("classification", "accuracy"), ("regression", "pearson"), ("multi_label", "macro_f1")]
)
def test_it_learns_and_is_the_same_every_time(kind: ProblemType, name: str) -> None:
    """Prevents a baseline at chance, and one that differs between two runs."""
    features, labels = examples(is_regression=kind == "regression")
    if kind == "multi_label":
        labels = np.eye(3, dtype=np.int8)[labels]
    train, held_out = np.arange(200), np.arange(200, 300)
    validation = (features[held_out], labels[held_out])
    runs = [
        linear.fit(features[train], labels[train], validation, name, kind)[0].predict(features[held_out])[0]
        for _ in range(2)
    ]
    assert score(name, labels[held_out], runs[0]) > 0.7
    assert np.array_equal(*runs)


def test_the_strength_is_the_best_on_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a strength that is never selected, and a final model of other rows when there are many."""
    features, labels = examples()
    monkeypatch.setattr(linear, "STRENGTHS", (1e-6, 1.0))
    monkeypatch.setattr(linear, "MOST_ROWS", 100)
    model, strength = linear.fit(features, labels, (features, labels), "accuracy", "classification")
    assert strength == 1.0
    of_all_rows = linear.Linear(features, labels, 1.0, "classification", (features, labels))
    assert np.array_equal(model.predict(features)[0], of_all_rows.predict(features)[0])


@pytest.mark.parametrize("is_regression", [False, True])
def test_one_label_or_no_word_gives_a_constant(is_regression: bool) -> None:
    """Prevents a failing stage where every training label is the same, or no text has a word that another has."""
    labels = np.ones(20, np.float32 if is_regression else np.int64)
    for features in (sparse.csr_array(np.eye(20)), sparse.csr_array((20, 0))):
        name, kind = ("pearson", "regression") if is_regression else ("accuracy", "classification")
        model, _ = linear.fit(features, labels, (features, labels), name, kind)
        assert set(model.predict(features)[0]) == {1}


def test_more_rows_than_features_do_not_change_the_solver() -> None:
    """Prevents scikit-learn from choosing a solver that stops at once with this tolerance."""
    features, labels = examples(3_000)
    model, _ = linear.fit(features, labels, (features, labels), "accuracy", "classification")
    assert score("accuracy", labels, model.predict(features)[0]) > 0.8


def test_a_hard_task_gives_the_same_model_every_time() -> None:
    """Prevents models that depend on the timing of threads, which share liblinear's random generator."""
    features, labels = examples(3_000)
    labels = np.random.default_rng(1).permutation(labels)  # nothing to learn: every step counts
    fits = [linear.fit(features, labels, (features, labels), "accuracy", "classification")[0] for _ in range(3)]
    assert np.array_equal(*(fit.models[0].coef_ for fit in fits[:2]))
    assert np.array_equal(*(fit.models[0].coef_ for fit in fits[1:]))


def test_a_label_that_no_training_text_has_is_never_predicted() -> None:
    """Prevents a failing baseline where a rare label is only in validation."""
    features, labels = examples()
    sets = np.eye(3, dtype=np.int8)[labels]
    sets[:200, 2] = 0
    train, held_out = np.arange(200), np.arange(200, 300)
    validation = (features[held_out], sets[held_out])
    model, _ = linear.fit(features[train], sets[train], validation, "macro_f1", "multi_label")
    assert not (model.predict(features)[0][:, 2] > 0).any()
