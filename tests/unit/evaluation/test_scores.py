"""The scores equal the hub's `glue` metric: on its documented examples, and on random rows against its sources."""

import evaluate
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from scipy.stats import spearmanr as scipy_spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

from refit.evaluation import hf_evaluate, scores

TWO = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60)


@pytest.mark.parametrize(
    ("name", "references", "predictions", "expected"),
    [  # the examples in the documentation of evaluate's metrics/glue/glue.py, and their printed answers
        ("accuracy", [0, 1], [0, 1], 1.0),
        ("f1", [0, 1], [0, 1], 1.0),
        ("matthews_correlation", [0, 1], [0, 1], 1.0),
        ("pearson", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 1.0),
        ("spearmanr", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 1.0),
        # and of evaluate's accuracy, f1, precision, recall and matthews_correlation
        ("accuracy", [0, 1, 2, 0, 1, 2], [0, 1, 1, 2, 1, 0], 0.5),
        ("f1", [0, 1, 0, 1, 0], [0, 0, 1, 1, 0], 0.5),
        ("macro_f1", [0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 0.26666666666666666),
        ("precision", [0, 1, 0, 1, 0], [0, 0, 1, 1, 0], 0.5),
        ("recall", [0, 0, 1, 1, 1], [0, 1, 0, 1, 1], 0.6666666666666666),
        ("matthews_correlation", [1, 3, 2, 0, 3, 2], [1, 2, 2, 0, 3, 3], 0.5384615384615384),
        ("pearson", [10, 9, 2.5, 6, 4], [10.0, 8.5, 3.0, 6.5, 4.0], 0.9895),
    ],
)
def test_the_documented_examples(name: str, references: list[float], predictions: list[float], expected: float) -> None:
    """Prevents another definition under a well-known name."""
    value = hf_evaluate.load(name).compute(predictions=predictions, references=references)
    assert value[name] == pytest.approx(expected, abs=1e-2 if expected == 0.9895 else 1e-6)


@given(TWO)
def test_two_classes_as_glue_computes_them(rows: list[tuple[int, int]]) -> None:
    """Prevents a difference from what the glue metric calls (evaluate's metrics/glue/glue.py)."""
    labels, predictions = (np.array(column) for column in zip(*rows, strict=True))
    accuracy, f1, matthews = (
        scores.score(name, labels, predictions) for name in ("accuracy", "f1", "matthews_correlation")
    )
    assert accuracy == float((predictions == labels).mean()) == accuracy_score(labels, predictions)
    assert f1 == float(f1_score(y_true=labels, y_pred=predictions, zero_division=0))
    assert matthews == float(matthews_corrcoef(labels, predictions))


@given(st.integers(0, 10_000))
def test_values_as_glue_computes_them(seed: int) -> None:
    """Prevents a difference in the correlations of STS-B."""
    labels, predictions = np.random.default_rng(seed).normal(size=(2, 40))
    assert scores.pearson(labels, predictions) == float(pearsonr(predictions, labels)[0])
    assert scores.spearmanr(labels, predictions) == float(scipy_spearmanr(predictions, labels)[0])


@pytest.mark.parametrize("labels", [[1.0, 2.0], [1.0]])
def test_a_correlation_with_a_constant_is_0(labels: list[float]) -> None:
    """Prevents a NaN in scores.json, which JSON does not have."""
    assert scores.pearson(np.array(labels), np.full(len(labels), 3.0)) == 0.0


def test_metrics_need_no_network_and_no_files(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents evaluate's download of a program for each score."""
    import socket

    def refuse(*args: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "create_connection", refuse)
    both = evaluate.combine([hf_evaluate.load("accuracy"), hf_evaluate.load("macro_f1")])
    answers = both.compute(references=[0, 1, 2], predictions=[0, 1, 1])
    assert answers == {"accuracy": pytest.approx(2 / 3), "macro_f1": pytest.approx(5 / 9)}
