"""Scores of the evaluate stage: the same as in training, and complete for every problem type."""

import numpy as np
import pyarrow as pa
import pytest
from made_runs import task_record

from refit.evaluation import evaluate
from refit.storage.arrow import Rows


def rows(labels: list[float], kind: pa.DataType) -> Rows:
    """Examples with these labels."""
    ids = pa.array([[1, 2]] * len(labels), pa.list_(pa.int32()))
    numbers = pa.array(range(len(labels)), pa.int32())
    return Rows.of_batches(
        [pa.record_batch({"input_ids": ids, "label": pa.array(labels, kind), "length": numbers, "row": numbers})]
    )


def test_undefined_correlations_are_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents one line for each score and draw."""
    task = task_record(problem_type="regression", labels=[], scores=["pearson", "spearmanr"])
    result = evaluate.evaluate_split(task, "test", rows([3.0] * 20, pa.float32()), np.full((20, 1), 3.0, np.float32))
    assert result.details["intervals"] == {"pearson": [0, 0], "spearmanr": [0, 0]}
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_confusion_matrix_leaves_out_cells_without_examples() -> None:
    """Prevents a details.json that grows with the square of the number of labels."""
    task = task_record(labels=["bad", "fair", "good"])
    logits = np.eye(3, dtype=np.float32)[[0, 2, 2, 2]]
    details = evaluate.evaluate_split(task, "test", rows([0, 0, 2, 2], pa.int64()), logits).details
    assert details["confusion"] == {"bad": {"bad": 1, "good": 1}, "good": {"good": 2}}
    assert details["classes"]["fair"] == {"precision": 0, "recall": 0, "f1": 0, "rows": 0}
