"""Training through DVC: the notebook's numbers, the curve, and trackers inside an experiment."""

import csv
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, environment, reviews, run, tiny_project, write_csv

from refit.storage import files
from refit.training import curves


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A tiny project that has been run with the notebook's settings."""
    settings = {
        "max_length": 48, "train_rows": 40, "eval_rows": 30, "padding": "max_length", "precision": "fp32",
        "sampling": "random", "attention_dropout": "model", "lr": 5e-5, "epochs": 3, "batch_size": 16,
        "eval_batch_size": 8, "weight_decay": 0.0, "warmup": 0.0, "threads": "auto", "class_weights": "none",
    }  # fmt: skip
    folder = tiny_project(tmp_path_factory.mktemp("faithful") / "project", tiny_model, **settings)
    write_csv(folder / "data/own/tiny/train.csv", ["text", "label"], reviews(80))
    write_csv(folder / "data/own/tiny/validation.csv", ["text", "label"], reviews(50, seed=1))
    write_csv(folder / "data/own/tiny/test.csv", ["text", "label"], reviews(20, seed=2))
    run("dvc", "repro", cwd=folder)
    return folder


def test_with_the_notebooks_settings_its_numbers_come_out(trained: Path, tmp_path: Path) -> None:
    """Prevents a pipeline that is faster because it computes something else: equal to 4 decimals."""
    for split in ("train", "validation"):
        table = pq.read_table(trained / f"data/raw/{split}.parquet")
        pq.write_table(pa.table({name: table[name] for name in ("text", "label")}), tmp_path / f"{split}.parquet")
    command = [sys.executable, "-m", "benchmarks.notebook", tmp_path / "train.parquet", tmp_path / "validation.parquet"]
    options = ["--rows", "40", "--eval-rows", "30", "--epochs", "3", "--lr", "5e-5", "--max-length", "48"]
    env = environment(HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hf"))
    done = run(*command, trained / "models/base", *options, cwd=ROOT, env=env)
    expected = json.loads(done.stdout.splitlines()[-1])
    lines = (trained / "metrics/history.csv").read_text().splitlines()
    last = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
    log = files.read_json(next((trained / ".refit/runs").glob("*/DONE.json")))["log"]
    found = curves.train_loss([entry for entry in log if "loss" in entry])
    assert found == pytest.approx(expected["train_loss"], abs=5e-5)
    assert float(last["validation_loss"]) == pytest.approx(expected["metrics"]["eval_loss"], abs=5e-5)
    assert float(last["validation_accuracy"]) == pytest.approx(expected["metrics"]["eval_accuracy"], abs=5e-5)


def test_the_curve_has_the_scores_that_evaluate_finds(trained: Path) -> None:
    """Prevents two different numbers for the same model and examples."""
    scores = json.loads((trained / "metrics/scores.json").read_text())["own/tiny"]["validation"]
    done = files.read_json(next((trained / ".refit/runs").glob("*/DONE.json")))
    (best,) = (entry for entry in done["log"] if entry["step"] == done["best_step"] and "eval_loss" in entry)
    assert scores["accuracy"] == round(best["eval_accuracy"], 6)
    assert scores["loss"] == pytest.approx(best["eval_loss"], abs=1e-5)


def test_trackers_log_inside_an_experiment_and_leave_git_and_dvc_alone(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents an experiment and a dvc.yaml made by DVCLive, which would end up in the user's commits."""
    folder = tiny_project(tmp_path / "project", tiny_model)
    pipeline = (folder / "dvc.yaml").read_bytes()
    run("dvc", "exp", "run", "--name", "first", "-S", "report_to=dvclive", cwd=folder)
    (metrics,) = (folder / ".refit/dvclive").glob("*first*/plots/metrics")
    steps = [int(row["step"]) for row in csv.DictReader((metrics / "eval/loss.tsv").open(), delimiter="\t")]
    history = list(csv.DictReader((folder / "metrics/history.csv").open()))
    assert steps == [int(row["step"]) for row in history]
    assert (folder / "dvc.yaml").read_bytes() == pipeline
    assert [path for path in folder.rglob("dvc.yaml") if ".venv" not in path.parts] == [folder / "dvc.yaml"]
    listed = run("dvc", "exp", "list", "--name-only", cwd=folder).stdout.split()
    assert listed == ["first"]
    assert "report_to=dvclive" in (folder / "metrics/report.html").read_text()
    changed = run("git", "status", "--porcelain", cwd=folder).stdout.split("\n")
    small = {"metrics/baseline.json", "metrics/scores.json"}
    assert {line[3:] for line in changed if line} <= {"dvc.lock", "params.yaml"} | small
