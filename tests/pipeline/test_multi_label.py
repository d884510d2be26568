"""A multi-label task from a messy CSV file to a model that transformers loads, through DVC."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import make_model, run, tiny_project

THEMES = {"food": ["soup", "bread", "cheese"], "sport": ["goal", "race", "match"], "music": ["song", "drum", "opera"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose texts have any of three themes, or none, written as people write them."""
    settings = {"epochs": 6, "lr": 1e-3, "batch_size": 8, "train_rows": "all", "eval_rows": "all", "test_rows": "all",
                "max_length": 16, "class_weights": {"food": 2}}  # fmt: skip
    words = tuple(word for theme in THEMES.values() for word in theme)
    model = make_model(tmp_path_factory.mktemp("model"), words=(*words, "nothing", "with"))
    folder = tiny_project(tmp_path_factory.mktemp("multi") / "project", model, **settings)
    generator = np.random.default_rng(0)
    rows = []
    for number in range(300):
        themes = [name for name in THEMES if generator.random() < 0.4]
        words = [str(generator.choice(THEMES[name])) for name in themes] or ["nothing"]
        cell = (" | " if number % 3 else "|").join([*themes, *themes[:1]])  # spaces, and a label twice
        rows.append([f'A "{words[0]}", with {" ".join(words)} {number}', cell, number])
    with (folder / "data/own/tiny/train.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["text", "labels", "year"], *rows])
    run("dvc", "repro", cwd=folder)
    return folder


def test_the_model_predicts_the_labels_above_its_thresholds(trained: Path) -> None:
    """Prevents a model whose file, transformers, predict and the scores do not mean the same labels."""
    from transformers import pipeline

    config = json.loads((trained / "models/finetuned/config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    labels = sorted(THEMES)
    table = pq.read_table(trained / "metrics/predictions.parquet").to_pylist()
    raw = {split: pq.read_table(trained / f"data/raw/{split}.parquet")["text"].to_pylist() for split in ("test",)}
    classify = pipeline("text-classification", model=str(trained / "models/finetuned"))
    some = [row for row in table if row["split"] == "test"][:10]
    for row in some:
        found = {of["label"]: of["score"] for of in classify(raw["test"][row["row"]], top_k=None)}
        assert [found[label] for label in labels] == pytest.approx(row["probabilities"], abs=0.01)
        thresholds = [config["thresholds"][label] for label in labels]
        above = [index for index in range(3) if row["probabilities"][index] > thresholds[index]]
        assert above == row["prediction"]
    texts = [{"text": raw["test"][row["row"]]} for row in some]
    (trained / "in.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    run(sys.executable, "-m", "refit.predict", "--file", "in.jsonl", "--out", "out.parquet", cwd=trained)
    predicted = pq.read_table(trained / "out.parquet")["label"].to_pylist()
    assert predicted == [[labels[index] for index in row["prediction"]] for row in some]


def test_scores_and_report_know_several_labels(trained: Path) -> None:
    """Prevents a task that trains and then has no scores, no baseline and no page."""
    scores = json.loads((trained / "metrics/scores.json").read_text())["own/tiny"]["test"]
    baseline = json.loads((trained / "metrics/baseline.json").read_text())["tf-idf"]["own/tiny"]["test"]
    assert scores.keys() - baseline.keys() == {"loss"}
    assert scores["micro_f1"] > 0.7
    assert baseline["micro_f1"] > 0.7
    page = (trained / "metrics/report.html").read_text()
    assert "precision over recall" in page
    assert "subset accuracy" in page
    assert "any of 3 labels" in (trained / "metrics/model_card.md").read_text()


def test_two_runs_are_compared(trained: Path) -> None:
    """Prevents compare and its flips from reading one label where a row has several."""
    run("git", "add", "--all", cwd=trained)
    run("git", "commit", "--quiet", "--message", "first", cwd=trained)
    run("dvc", "exp", "run", "--name", "other", "-S", "seed=7", "-S", "class_weights=none", cwd=trained)
    done = run(sys.executable, "-m", "refit.compare", "HEAD", "other", "--flips", cwd=trained)
    for score in ("micro_f1", "macro_f1", "samples_f1", "subset_accuracy", "average_precision"):
        assert score in done.stdout
    assert "Rows that flipped" in done.stdout


def test_the_model_of_an_older_version_still_predicts(trained: Path) -> None:
    """Prevents a new param from making the models of all earlier commits useless."""
    file = trained / "params.yaml"
    file.write_text("".join(line for line in file.read_text().splitlines(True) if not line.startswith("long_texts")))
    run("git", "commit", "--quiet", "--message", "before long_texts", "params.yaml", cwd=trained)
    said = run(sys.executable, "-m", "refit.predict", "--model", "HEAD", "soup with a drum", cwd=trained).stdout
    assert {line.split()[0] for line in said.splitlines()} == set(THEMES)
