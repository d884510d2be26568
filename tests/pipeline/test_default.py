"""`make repro` with the default params: real data and the real MiniLM from PyPI."""

import json
from pathlib import Path

import pytest
from conftest import ROOT, clone, environment, ran, run


@pytest.mark.timeout(900)
def test_make_repro_on_a_fresh_clone_ends_with_good_scores(tmp_path: Path) -> None:
    """Prevents the first command of the README from failing, or from teaching the model nothing."""
    project = clone(tmp_path / "project")
    # The environment that runs this test; installing one with pip is not tested here.
    (project / ".venv").symlink_to(ROOT / ".venv")
    done = run("make", "repro", cwd=project, env=environment())
    assert "Model    models/finetuned" in done.stdout
    assert "Try next" in done.stdout
    assert "People: one rater against the mean of the others: accuracy 0.653, macro_f1 0.559" in done.stdout
    scores = json.loads((project / "metrics/scores.json").read_text())["movie_stars"]
    assert scores["validation"]["rows"] == 1000
    # docs/baseline.md has the scores of five seeds; a single seed varies.
    assert scores["validation"]["accuracy"] > 0.55
    assert scores["test"]["accuracy"] > 0.55
    details = json.loads((project / "metrics/details.json").read_text())["movie_stars"]["test"]
    assert all(label["precision"] > 0 for label in details["classes"].values()), "a label is never predicted"
    baseline = json.loads((project / "metrics/baseline.json").read_text())["tf-idf"]["movie_stars"]
    assert scores["test"]["accuracy"] > baseline["test"]["accuracy"] > 0.4
    assert "Accuracy | 0." in (project / "metrics/model_card.md").read_text()
    timed = {line.split()[0] for line in done.stdout.partition("peak memory\n")[2].partition("\n\n")[0].splitlines()}
    assert timed >= {"download", "download_model", "tokenize", "sample", "baseline", "train", "evaluate", "report"}
    assert json.loads((project / ".refit/speed/tokenize.json").read_text())["engine"] == "nanotoken"
    assert ran(run("dvc", "repro", cwd=project).stdout) == []
