"""python -m refit.label_errors as a user starts it, after the folds have run as DVC experiments."""

import csv
from pathlib import Path

import pytest
from conftest import reviews, run, tiny_project, wait_for_queue, write_csv


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_queued_folds_of_head_are_found_and_their_planted_errors_listed(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents folds that are not found, or other experiments taken for folds, and a file that cannot be corrected."""
    project = tiny_project(tmp_path / "project", tiny_model, epochs=6, test_share=0)
    planted = [(text, "negative") for text, _ in reviews(20, seed=9)[1::2]]
    write_csv(project / "data/own/tiny/train.csv", ["text", "label"], [*reviews(240), *planted])
    run("dvc", "repro", "--quiet", cwd=project)
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "a first run", cwd=project)
    folds = ("-S", "folds=2", "-S", "fold=range(1,3)", "-S", "eval_rows=900")
    run("dvc", "exp", "run", "--queue", "--name", "fold", *folds, cwd=project)
    run("dvc", "exp", "run", "--queue", "-S", "folds=2", "-S", "lr=1e-3", cwd=project)  # of another cross-validation
    run("dvc", "queue", "start", cwd=project)
    wait_for_queue(project)
    command = ("python", "-m", "refit.label_errors")
    done = run(*command, "--out", "errors.csv", cwd=project)
    assert " of 250 rows are likely to have a wrong label: errors.csv" in done.stdout
    assert done.stderr == ""
    with (project / "errors.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    first = {row["text"] for row in found[: len(planted)]}
    assert len(first & {text for text, _ in planted}) > len(planted) / 2
    refused = run(*command, "--out", "errors.csv", cwd=project, check=False)
    assert refused.returncode == 64
    assert "or you may have changed it" in refused.stderr
    alone = run(*command, "fold-1", cwd=project)
    assert "only the rows of 1 of 2 folds were examined" in alone.stderr
