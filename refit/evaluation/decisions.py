"""From logits to predictions: the most likely label, the labels above their thresholds, or a value.

Thresholds are probabilities: one of each label of a multi-label task, or one of the second label of two classes. They
are chosen on validation and stored in config.json as `thresholds`, label → probability.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from refit.data.task_record import ProblemType
from refit.evaluation.metrics import CELLS, SCORES, Labels, Values

Logits = npt.NDArray[np.float32]  # (rows, labels)
Thresholds = Sequence[float]
KEY = "thresholds"  # in config.json
LOWEST = 1e-6  # so that the logit of a threshold stays finite


def probabilities(logits: Logits, problem_type: ProblemType) -> Logits:
    """The probability of each label: the softmax, in float64 so that rows sum to one; for multi-label the sigmoid."""
    from scipy.special import expit, softmax  # here, so that compare and summary start without it: 0.1 s

    wide = logits.astype(np.float64)
    found: Logits = (expit(wide) if problem_type == "multi_label" else softmax(wide, axis=-1)).astype(np.float32)
    return found


def predictions(logits: Logits, problem_type: ProblemType, thresholds: Thresholds = ()) -> Labels:
    """The predictions of logits (rows, labels) as refit/evaluation/metrics.py takes them.

    Classes: the label of the highest logit, the first of equals, or with a threshold whether label 1 is above it.
    Without thresholds, those of a multi-label task are one half.
    """
    if problem_type == "regression":
        return logits[:, 0]
    if problem_type == "multi_label":
        chances = probabilities(logits, problem_type)
        return ranked(chances, chances > np.asarray(thresholds or 0.5))
    if thresholds:
        return (probabilities(logits, problem_type)[:, 1] > thresholds[0]).astype(np.int64)
    return np.asarray(logits.argmax(axis=-1))


def ranked(chances: Logits, predicted: npt.NDArray[np.bool_]) -> Values:
    """The probabilities (rows, labels) of what is predicted, and for all else those less one, which are negative."""
    return chances.astype(np.float64) - ~predicted


def best_thresholds(logits: Logits, labels: Labels, problem_type: ProblemType, best_score: str) -> list[float]:
    """The thresholds with the best score on the given rows.

    Multi-label: the best F1 of each label, which makes the best macro F1; one half for a label that does not occur.
    Two classes: the best `best_score`.
    """
    from scipy.special import expit

    wide = logits.astype(np.float64)
    is_multi_label = problem_type == "multi_label"
    columns = zip(wide.T, labels.T, strict=True) if is_multi_label else [(wide[:, 1] - wide[:, 0], labels)]
    cuts = [_best_cut("f1" if is_multi_label else best_score, *of_label) for of_label in columns]
    return [float(f"{np.clip(expit(cut), LOWEST, 1 - LOWEST):.6g}") for cut in cuts]


def of_config(config: Mapping[str, Any], labels: Sequence[str]) -> list[float]:
    """The thresholds in a model's config.json, in the order of its labels; none if it has none."""
    stored = config.get(KEY) or {}
    return [stored[label] for label in labels if label in stored]


def to_config(thresholds: Thresholds, labels: Sequence[str]) -> dict[str, float]:
    """The thresholds as config.json has them."""
    return dict(zip(labels[-len(thresholds) :], thresholds, strict=True))


def _best_cut(name: str, values: Values, labels: Labels) -> float:
    """The cut with the best score when rows with higher values (rows) are predicted as label 1, else as label 0.

    It is half way between two values, so that rounding does not decide.
    """
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.diff(values[order], append=-np.inf))[:-1]  # the last row above each cut
    total = int(labels.sum())
    if total in (0, len(labels)) or not len(ends):
        return 0.0
    right = np.cumsum(labels[order], dtype=np.int64)[ends]
    wrong, missed = ends + 1 - right, total - right
    counts = np.stack([len(labels) - total - wrong, wrong, missed, right], axis=1)
    best = ends[int(np.argmax(SCORES[name].of_draws(counts, *CELLS)))]
    return float(values[order][best : best + 2].mean())
