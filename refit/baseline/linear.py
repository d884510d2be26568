"""The linear model: a support vector machine for classes, ridge regression for values."""

import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from refit.evaluation.metrics import Labels, score

STRENGTHS = (0.1, 0.3, 1.0)  # C of the support vector machine, 1 / alpha of ridge regression
MOST_ROWS = 100_000  # to select the strength with; the final model is trained on all rows
TOLERANCE = 0.1  # liblinear's own; scikit-learn's 1e-4 takes up to twice as long for the same score
MOST_STEPS = 200
SEED = 0

Matrix = sparse.csr_array


def fit(
    features: Matrix, labels: Labels, validation: tuple[Matrix, Labels], best_score: str, *, is_regression: bool
) -> tuple[Any, float]:
    """The scikit-learn model trained on `features` (rows, features), and its strength.

    Of STRENGTHS, it is the one with the best score on validation, the first of equals.
    """
    if len(np.unique(labels)) == 1 or not features.shape[1]:  # nothing to learn, or nothing to learn it from
        constant = DummyRegressor() if is_regression else DummyClassifier()
        return constant.fit(features, labels), 0.0
    some = np.random.default_rng(SEED).permutation(len(labels))[:MOST_ROWS]
    given, given_labels = features[some], labels[some]
    held_out, truth = validation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # with labels that contradict each other
        # One after the other: liblinear has one random generator per process, which threads would share.
        models = [_fit(given, given_labels, strength, is_regression) for strength in STRENGTHS]
        scores = [score(best_score, truth, model.predict(held_out)) for model in models]
        best = int(np.argmax(scores))
        is_final = len(some) == len(labels)
        model = models[best] if is_final else _fit(features, labels, STRENGTHS[best], is_regression)
    return model, STRENGTHS[best]


def _fit(features: Matrix, labels: Labels, strength: float, is_regression: bool) -> Any:
    if is_regression:
        return Ridge(alpha=1 / strength, solver="sparse_cg").fit(features, labels)
    # dual: with more rows than features scikit-learn would choose another solver, for which this tolerance is too large
    return LinearSVC(dual=True, C=strength, tol=TOLERANCE, max_iter=MOST_STEPS, random_state=SEED).fit(features, labels)
