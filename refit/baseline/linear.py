"""The linear model: a support vector machine for classes, ridge regression for values."""

import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from refit.data.task_record import ProblemType
from refit.evaluation import decisions
from refit.evaluation.metrics import Labels, score

STRENGTHS = (0.1, 0.3, 1.0)  # C of the support vector machine, 1 / alpha of ridge regression
MOST_ROWS = 100_000  # to select the strength with; the final model is trained on all rows
TOLERANCE = 0.1  # liblinear's own; scikit-learn's 1e-4 takes up to twice as long for the same score
MOST_STEPS = 200
SEED = 0

Matrix = sparse.csr_array


def fit(
    features: Matrix, labels: Labels, validation: tuple[Matrix, Labels], best_score: str, problem_type: ProblemType
) -> tuple["Linear", float]:
    """The linear model trained on `features` (rows, features), and its strength.

    Of STRENGTHS, it is the one with the best score on validation, the first of equals.
    """
    some = np.random.default_rng(SEED).permutation(len(labels))[:MOST_ROWS]
    given, given_labels = features[some], labels[some]
    held_out, truth = validation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # with labels that contradict each other
        # One after the other: liblinear has one random generator per process, which threads would share.
        models = [Linear(given, given_labels, strength, problem_type, validation) for strength in STRENGTHS]
        best = int(np.argmax([score(best_score, truth, model.predict(held_out)[0]) for model in models]))
        if len(some) < len(labels):
            models[best] = Linear(features, labels, STRENGTHS[best], problem_type, validation)
    return models[best], STRENGTHS[best]


class Linear:
    """scikit-learn's model, or one for each label of a multi-label task, with the best thresholds on `validation`."""

    def __init__(
        self, features: Matrix, labels: Labels, strength: float, problem_type: ProblemType,
        validation: tuple[Matrix, Labels],
    ) -> None:  # fmt: skip
        self.is_multi_label = problem_type == "multi_label"
        columns = labels.T if self.is_multi_label else [labels]
        self.models = [_fit(features, column, strength, problem_type) for column in columns]
        if self.is_multi_label:
            held_out, truth = validation
            self.thresholds = decisions.best_thresholds(self._logits(held_out), truth, "multi_label", "f1")

    def predict(self, features: Matrix) -> tuple[Labels, decisions.Logits | None]:
        """The predictions as refit/evaluation/metrics.py takes them.

        Of a multi-label task also numbers (rows, labels) in the order of probabilities, but not calibrated.
        """
        if not self.is_multi_label:
            return np.asarray(self.models[0].predict(features)), None
        logits = self._logits(features)
        chances = decisions.probabilities(logits, "multi_label")
        return decisions.predictions(logits, "multi_label", self.thresholds), chances

    def _logits(self, features: Matrix) -> decisions.Logits:
        """The signed distance from the plane of each label (rows, labels), or of a constant what it predicts."""
        columns = [
            model.decision_function(features) if hasattr(model, "decision_function") else model.predict(features)
            for model in self.models
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def _fit(features: Matrix, labels: Labels, strength: float, problem_type: ProblemType) -> Any:
    is_regression = problem_type == "regression"
    if len(np.unique(labels)) == 1 or not features.shape[1]:  # nothing to learn, or nothing to learn it from
        constant = DummyRegressor() if is_regression else DummyClassifier()
        return constant.fit(features, labels)
    if is_regression:
        return Ridge(alpha=1 / strength, solver="sparse_cg").fit(features, labels)
    # dual: with more rows than features scikit-learn would choose another solver, for which this tolerance is too large
    return LinearSVC(dual=True, C=strength, tol=TOLERANCE, max_iter=MOST_STEPS, random_state=SEED).fit(features, labels)
