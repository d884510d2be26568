"""Scores of the evaluate stage: the same as in training, and complete for every problem type."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from made_runs import task_record

from refit import params, paths
from refit.evaluation import evaluate
from refit.storage import files
from refit.storage.arrow import Rows
from refit.training import fine_tuning


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """A tiny project whose model is trained."""
    folder = tmp_path_factory.mktemp("evaluation") / "project"
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(".git", ".refit"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("DVC_ROOT", raising=False)
        fine_tuning.train(params.load(params.Train))
    return folder


def test_the_scores_of_the_best_epoch_are_those_of_evaluate(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a curve and a table that show two numbers for the same model and rows."""
    monkeypatch.chdir(trained)
    evaluate.evaluate(params.load(params.Evaluate))
    done = files.read_json(next(Path(".refit/runs").glob("*/DONE.json")))
    best = next(entry for entry in done["log"] if entry["step"] == done["best_step"] and "eval_loss" in entry)
    found = json.loads(paths.SCORES.read_text())["own/tiny"]["validation"]
    assert found["accuracy"] == round(best["eval_accuracy"], 6)
    assert found["loss"] == pytest.approx(best["eval_loss"], abs=1e-5)


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
    assert result.details == {"intervals": {"pearson": [0, 0], "spearmanr": [0, 0]}}
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_confusion_matrix_leaves_out_cells_without_examples() -> None:
    """Prevents a details.json that grows with the square of the number of labels."""
    task = task_record(labels=["bad", "fair", "good"])
    logits = np.eye(3, dtype=np.float32)[[0, 2, 2, 2]]
    details = evaluate.evaluate_split(task, "test", rows([0, 0, 2, 2], pa.int64()), logits).details
    assert details["confusion"] == {"bad": {"bad": 1, "good": 1}, "good": {"good": 2}}
    assert details["classes"]["fair"] == {"precision": 0, "recall": 0, "f1": 0, "rows": 0}
