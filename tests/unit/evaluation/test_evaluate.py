"""Evaluation: the same scores whether validation was answered in training, on another machine, or not at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from made_runs import task_record

from refit import params, paths
from refit.evaluation import evaluate
from refit.model import answers
from refit.storage import files, manifest
from refit.training import fine_tuning

OUTS = (paths.SCORES, paths.DETAILS, paths.PREDICTIONS, paths.CONFUSION, paths.CALIBRATION)


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


def evaluated() -> tuple[int, dict[str, bytes]]:
    """The rows that evaluate had to compute, and the bytes that it wrote."""
    figures = evaluate.evaluate(params.load(params.Evaluate))
    return figures["rows"], {path.name: path.read_bytes() for path in OUTS}


def rows_of(split: str) -> int:
    """The rows of a split that are used."""
    rows: int = manifest.read(paths.SAMPLED)[f"{split}.arrow"]["rows"]
    return rows


def replace_answers(values: np.ndarray) -> None:
    """Put other answers beside the weights, as if they belonged to them."""
    np.save(paths.FINETUNED_MODEL / answers.NAME, values)
    record = manifest.read_record(paths.FINETUNED_MODEL / manifest.NAME)
    figures = {name: {key: entry[key] for key in entry.keys() - {"bytes", "sha256"}} for name, entry in record.items()}
    manifest.write(paths.FINETUNED_MODEL, figures)


def test_validation_is_answered_once(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prevents both: computing validation a second time, and scores that differ because it was not."""
    monkeypatch.chdir(trained)
    rows, known = evaluated()
    assert rows == rows_of("test")
    assert "differ from those saved" not in capfd.readouterr().err
    own = np.load(paths.FINETUNED_MODEL / answers.NAME)
    replace_answers(np.empty((0, 0), np.float32))
    rows, computed = evaluated()
    assert rows == rows_of("test") + rows_of("validation")
    assert computed == known
    replace_answers(own + np.float32(1e-4))
    rows, anew = evaluated()
    assert rows == rows_of("test") + rows_of("validation")
    assert anew == known
    assert "evaluate: this model's outputs differ from those saved in training" in capfd.readouterr().err
    replace_answers(own)


def test_the_scores_of_the_best_epoch_are_those_of_evaluate(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a curve and a table that show two numbers for the same model and rows."""
    monkeypatch.chdir(trained)
    evaluated()
    done = files.read_json(next(Path(".refit/runs").glob("*/DONE.json")))
    best = next(entry for entry in done["log"] if entry["step"] == done["best_step"] and "eval_loss" in entry)
    found = json.loads(paths.SCORES.read_text())["own/tiny"]["validation"]
    assert found["accuracy"] == round(best["eval_accuracy"], 6)
    assert found["loss"] == pytest.approx(best["eval_loss"], abs=1e-5)


def test_undefined_correlations_are_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents one line for each score and draw."""
    values = np.full(20, 3.0, np.float32)
    details = evaluate._details(
        task_record(problem_type="regression"), values, values, {"pearson": 0.0, "spearmanr": 0.0}
    )
    assert details["intervals"] == {"pearson": [0, 0], "spearmanr": [0, 0]}
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_confusion_matrix_leaves_out_cells_without_rows() -> None:
    """Prevents a details.json that grows with the square of the number of labels."""
    task = task_record(labels=["bad", "fair", "good"])
    details = evaluate._details(task, np.array([0, 0, 2, 2]), np.array([0, 2, 2, 2]), {})
    assert details["confusion"] == {"bad": {"bad": 1, "good": 1}, "good": {"good": 2}}
    assert details["classes"]["fair"] == {"precision": 0, "recall": 0, "f1": 0, "rows": 0}
