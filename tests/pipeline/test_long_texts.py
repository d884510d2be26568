"""Texts in windows, through all stages with DVC: what is scored, predicted and described is texts, not windows."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import run, tiny_project

from refit.storage import files
from refit.storage.arrow import Rows


@pytest.mark.slow
def test_predict_scores_texts_in_windows_as_evaluate_does(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents scores of windows, and predictions that differ from those that were scored."""
    folder = tiny_project(tmp_path / "project", tiny_model, max_length=8, long_texts="windows", train_rows=20)
    run("dvc", "repro", cwd=folder)
    rows = Rows.read(folder / "data/sampled/train.arrow")
    assert len(rows) > len(rows.texts()) == 20
    predictions = pq.read_table(folder / "metrics/predictions.parquet").to_pandas()
    of_split = predictions[predictions["split"] == "validation"].set_index("row")["probabilities"]
    raw = pq.read_metadata(folder / "data/raw/validation.parquet").num_rows
    for files_of in ("metrics/scores.json", "metrics/baseline.json"):
        scores = files.read_json(folder / files_of)
        assert scores.get("tf-idf", scores)["own/tiny"]["validation"]["rows"] == len(of_split) == raw
    run("git", "commit", "--quiet", "--all", "--message", "windows", cwd=folder)
    for model in ([], ["--model", "HEAD"]):
        run("python", "-m", "refit.predict", "--split", "validation", "--out", "out.parquet", *model, cwd=folder)
        predicted = pq.read_table(folder / "out.parquet").to_pandas().set_index("row")["probabilities"]
        assert np.allclose(np.stack(predicted[of_split.index]), np.stack(of_split), atol=1e-6)
    assert "were read in windows" in (folder / "metrics/model_card.md").read_text()
