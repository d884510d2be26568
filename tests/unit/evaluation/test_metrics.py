"""The registry's scores equal scikit-learn's and SciPy's, which the hub's metrics compute."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics

from refit.evaluation import hf_evaluate, metrics

MANY = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)
TWO = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)
OF_SKLEARN = {
    "accuracy": sklearn_metrics.accuracy_score,
    "macro_f1": partial(sklearn_metrics.f1_score, average="macro", zero_division=0),
    "matthews_correlation": sklearn_metrics.matthews_corrcoef,
    "f1": partial(sklearn_metrics.f1_score, zero_division=0),
    "precision": partial(sklearn_metrics.precision_score, zero_division=0),
    "recall": partial(sklearn_metrics.recall_score, zero_division=0),
}
OF_SKLEARN_SETS = {
    "micro_f1": partial(sklearn_metrics.f1_score, average="micro", zero_division=0),
    "macro_f1": partial(sklearn_metrics.f1_score, average="macro", zero_division=np.nan),
    "samples_f1": partial(sklearn_metrics.f1_score, average="samples", zero_division=0),
    "subset_accuracy": sklearn_metrics.accuracy_score,
}


def columns(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    labels, predictions = (np.array(column) for column in zip(*rows, strict=True))
    return labels, predictions


def test_every_score_of_classes_is_compared_with_scikit_learn() -> None:
    """Prevents a score that is added without a reference."""
    of_classes = {name for name, score in metrics.SCORES.items() if "classification" in score.problem_types}
    of_sets = {name for name, score in metrics.SCORES.items() if "multi_label" in score.problem_types}
    assert (set(OF_SKLEARN), {*OF_SKLEARN_SETS, "average_precision"}) == (of_classes, of_sets)


@pytest.mark.filterwarnings("ignore:A single label was found")
@settings(max_examples=60)
@given(MANY, TWO, st.sampled_from(sorted(OF_SKLEARN)))
def test_scores_of_classes_are_scikit_learns(
    many: list[tuple[int, int]], two: list[tuple[int, int]], name: str
) -> None:
    """Prevents another definition under a well-known name, or the score of the wrong class."""
    labels, predictions = columns(two if metrics.SCORES[name].two_classes_only else many)
    expected = OF_SKLEARN[name](labels, predictions)
    assert metrics.score(name, labels, predictions) == pytest.approx(expected, abs=1e-12)
    assert hf_evaluate.compute([name], labels, predictions)[name] == metrics.score(name, labels, predictions)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 30), st.floats(0, 1), st.sampled_from(sorted(OF_SKLEARN_SETS)))
def test_scores_of_several_labels_are_scikit_learns(seed: int, rows: int, rate: float, name: str) -> None:
    """Prevents another definition, such as of examples or labels that nothing is true or predicted of."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((rows, 4)) < rate).astype(np.int8)
    predictions = np.where(generator.random((rows, 4)) < 0.3, 1 - labels, labels) - generator.random((rows, 4)) * 0.9
    expected = OF_SKLEARN_SETS[name](labels, predictions > 0)
    expected = 0.0 if np.isnan(expected) else expected
    assert metrics.score(name, labels, predictions) == pytest.approx(expected, abs=1e-12)
    assert hf_evaluate.compute([name], labels, predictions)[name] == metrics.score(name, labels, predictions)


@given(st.integers(0, 10_000))
def test_average_precision_is_scikit_learns(seed: int) -> None:
    """Prevents ties and rare labels from counting in another way."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((40, 5)) < 0.3).astype(np.int8)
    labels[0] = 1  # scikit-learn counts a label that never occurs as 0, here it does not count
    predictions = generator.normal(size=(40, 5)).round(1)
    expected = sklearn_metrics.average_precision_score(labels, predictions, average="macro")
    assert metrics.score("average_precision", labels, predictions) == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 10_000))
def test_scores_of_values_are_scipys(seed: int) -> None:
    """Prevents a difference in the correlations of STS-B, also after the float32 of evaluate."""
    labels, predictions = np.random.default_rng(seed).normal(size=(2, 40)).astype(np.float32).astype(np.float64)
    expected = {
        "pearson": float(stats.pearsonr(predictions, labels)[0]),
        "spearmanr": float(stats.spearmanr(predictions, labels)[0]),
    }
    assert hf_evaluate.compute(list(expected), labels, predictions) == expected
    assert {name: metrics.score(name, labels, predictions) for name in expected} == expected


@pytest.mark.parametrize("labels", [[1.0, 2.0], [1.0]])
@pytest.mark.parametrize("name", ["pearson", "spearmanr"])
def test_a_correlation_with_a_constant_is_0(name: str, labels: list[float]) -> None:
    """Prevents a NaN in scores.json, which JSON does not have."""
    assert metrics.score(name, np.array(labels), np.full(len(labels), 3.0)) == 0.0
