"""The pipeline as a user drives it: real DVC commands in real clones, with a tiny model and tiny data."""

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import change_params, environment, ran, run, tiny_project, write_csv


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A tiny project that has run once and is committed."""
    folder = tiny_project(tmp_path_factory.mktemp("repro") / "project", tiny_model)
    run("dvc", "repro", cwd=folder)
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", "first run", cwd=folder)
    return folder


def test_two_clones_give_the_same_bytes(done: Path, tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a path, a clock or a hash seed from changing an output: the complete dvc.lock is compared."""
    other = tiny_project(tmp_path / "elsewhere" / "another-name", tiny_model)
    env = environment(PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C")
    run("dvc", "repro", cwd=other, env=env)
    assert (other / "dvc.lock").read_bytes() == (done / "dvc.lock").read_bytes()


def test_changing_the_learning_rate_reruns_train_and_what_follows(done: Path) -> None:
    """Prevents `dvc exp run -S lr=…` from running too much, and `dvc … diff` from showing wrong values."""
    before = json.loads((done / "metrics/scores.json").read_text())
    output = run("dvc", "exp", "run", "-S", "lr=2e-5", cwd=done).stdout
    assert ran(output) == ["train", "evaluate", "report"]
    after = json.loads((done / "metrics/scores.json").read_text())
    changes = json.loads(run("dvc", "params", "diff", "--json", cwd=done).stdout)
    assert changes["params.yaml"]["lr"]["old"] == 5e-3
    assert changes["params.yaml"]["lr"]["new"] == 2e-5
    assert len(changes["params.yaml"]) == 1
    metrics = json.loads(run("dvc", "metrics", "diff", "--json", cwd=done).stdout)["metrics/scores.json"]
    key = "own/tiny.validation.loss"
    assert metrics[key]["old"] == before["own/tiny"]["validation"]["loss"]
    assert metrics[key]["new"] == after["own/tiny"]["validation"]["loss"]
    shown = json.loads(run("dvc", "exp", "show", "--json", cwd=done).stdout)
    experiment = shown[1]["experiments"][0]["revs"][0]
    assert experiment["data"]["params"]["params.yaml"]["data"]["lr"] == 2e-5
    assert experiment["data"]["metrics"]["metrics/scores.json"]["data"]["own/tiny"] == after["own/tiny"]
    plots = run("dvc", "plots", "diff", "--json", "--split", cwd=done).stdout
    assert "validation_loss" in plots
    assert "confusion" in plots
    run("dvc", "exp", "run", "-S", "lr=5e-3", cwd=done)
    run("git", "checkout", "--", "params.yaml", "dvc.lock", "metrics", cwd=done)


def test_an_experiment_is_applied_committed_and_compared_in_a_clone(done: Path, tmp_path: Path) -> None:
    """Prevents comparing commits from needing a remote; test_readme.py runs the queue."""
    run("dvc", "exp", "run", "-S", "lr=1e-3", "--name", "slower", cwd=done)
    run("git", "checkout", "--", "params.yaml", "dvc.lock", "metrics", cwd=done)
    run("dvc", "exp", "apply", "slower", cwd=done)
    run("git", "commit", "--quiet", "--all", "--message", "apply", cwd=done)
    fresh = tmp_path / "fresh"
    run("git", "clone", "--quiet", done, fresh, cwd=tmp_path)
    changed = json.loads(run("dvc", "metrics", "diff", "HEAD~1", "--json", cwd=fresh).stdout)["metrics/scores.json"]
    assert changed["own/tiny.validation.loss"]["diff"] != 0


def example_of_card(folder: Path) -> str:
    """What the example in the card of a project's model prints."""
    card = (folder / "metrics/model_card.md").read_text()
    *setup, last = card.partition("```python\n")[2].partition("```")[0].rstrip().splitlines()
    return run("python", "-c", "\n".join([*setup, f"print({last})"]), cwd=folder).stdout


def test_the_example_of_the_model_card_predicts_label_names(done: Path) -> None:
    """Prevents an example that fails, and LABEL_0 from reaching the person who loads the model."""
    assert re.search("'label': '(positive|negative)'", example_of_card(done))


def test_the_model_folder_alone_cuts_texts_as_in_training(done: Path, tmp_path: Path) -> None:
    """Prevents other predictions where the folder was copied or published: max_length must be saved with it."""
    from transformers import AutoTokenizer

    from refit.predict import model_source
    from refit.predict.predictor import Predictor

    alone = shutil.copytree(done / "models/finetuned", tmp_path / "alone")
    with model_source.find(str(alone)) as found:
        assert Predictor(found).max_length == 32  # the model itself takes 64
    tokens = AutoTokenizer.from_pretrained(alone)("a good film " * 30, truncation=True)
    assert len(tokens["input_ids"]) == 32


def test_pairs_regression_and_an_unlabelled_test_set_run_through(done: Path) -> None:
    """Prevents the less common kinds of task from failing after training."""
    rows = [(f"a film {i}", f"a plot {i % 7}", f"{i % 7}.5") for i in range(60)]
    write_csv(done / "data/own/alike/train.csv", ["text", "text_pair", "label"], rows)
    write_csv(done / "data/own/alike/test.csv", ["text", "text_pair"], [row[:2] for row in rows[:8]])
    change_params(done / "params.yaml", task="own/alike", epochs=1)
    output = run("dvc", "repro", cwd=done).stdout
    assert "treating labels as numbers (regression) because some have a decimal point" in output
    scores = json.loads((done / "metrics/scores.json").read_text())["own/alike"]
    assert set(scores) == {"validation"}
    assert set(scores["validation"]) == {"pearson", "spearmanr", "loss", "rows"}
    config = json.loads((done / "models/finetuned/config.json").read_text())
    assert config["problem_type"] == "regression"
    assert "'score': " in example_of_card(done)
    assert 'function_to_apply="none"' in (done / "metrics/model_card.md").read_text()
    change_params(done / "params.yaml", label_smoothing=0.1)
    refused = run("python", "-m", "stages.train", cwd=done, check=False).stderr.splitlines()[-1]
    assert refused.startswith("refit train: params.yaml label_smoothing: got 0.1, but this")
    change_params(done / "params.yaml", label_smoothing=0.0)


def test_sources_are_tracked_by_content_and_one_task_at_a_time(done: Path, tmp_path: Path, tiny_model: Path) -> None:
    """Prevents results of outdated weights or rows, and a broken link of one task from stopping the other tasks."""
    (done / "data/own/broken").mkdir()
    (done / "data/own/broken/train.csv").symlink_to("nowhere.csv")
    outside = shutil.copytree(tiny_model, tmp_path / "outside")
    change_params(done / "params.yaml", task="own/tiny", model=str(outside))
    run("dvc", "repro", "tokenize", cwd=done)
    assert ran(run("dvc", "repro", "tokenize", cwd=done).stdout) == []
    weights = bytearray((outside / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (outside / "model.safetensors").write_bytes(weights)
    assert ran(run("dvc", "repro", "tokenize", cwd=done).stdout) == ["download_model"]  # the same tokenizer
    assert (done / "models/base/model.safetensors").read_bytes() == weights
    with (done / "data/own/tiny/train.csv").open("a") as file:
        file.write("a very fine film,positive\n")
    assert ran(run("dvc", "repro", "tokenize", cwd=done).stdout) == ["download", "tokenize"]
    outside.rename(tmp_path / "moved")
    kept = run("dvc", "repro", "tokenize", cwd=done)
    assert ran(kept.stdout) == []  # a clone that has pulled this run works without the folder
    assert f"{outside}" in kept.stderr
    change_params(done / "params.yaml", task="own/broken")
    assert "data/own/broken" in run("dvc", "repro", "tokenize", cwd=done, check=False).stderr
