"""Tasks for Label Studio: the rows that the model is least sure of, in the format that it imports."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import write_csv

from refit import params, paths
from refit.errors import ParamsError, UsageError
from refit.predict import batch, to_label
from refit.predict.predictor import Predictor

# The logit of the label "yes" for each text; that of "no" is 0.
LOGITS = {"sure": 9.0, "torn, \"and\" 'quoted'": 0.01, "unsure": -0.5, "rather": 2.0, "no": -4.0, "": 0.0}


@pytest.fixture
def predictor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in for a Predictor, in a folder with the file pool.csv, predicted in windows of two rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch, "WINDOW_ROWS", 2)
    write_csv(Path("pool.csv"), ["text"], [(text,) for text in LOGITS if text])
    settings = params.Evaluate(eval_batch_size=8, precision="fp32", threads=1)
    made = object.__new__(Predictor)  # without a model
    vars(made).update(
        problem_type="classification", labels=["no", "yes"], thresholds=[], max_length=8, number="fp32",
        model=SimpleNamespace(name="a-run", task=None, folder=tmp_path, settings=settings, long_texts="head"),
        logits=lambda rows, _=None: np.array([[0, LOGITS[row[0]]] for row in rows], dtype=np.float32),
    )  # fmt: skip
    return made


@pytest.mark.parametrize("name", ["to_label.json", "to_label.jsonl"])
def test_the_least_sure_rows_are_tasks_with_the_models_label(predictor: Any, name: str) -> None:
    """Prevents rows that the model is sure of, another row's text or label, and a file that cannot be imported."""
    assert to_label.write(predictor, Path("pool.csv"), 3, Path(name)) == 3
    text = Path(name).read_text()
    tasks = json.loads(text) if name == "to_label.json" else [json.loads(line) for line in text.splitlines()]
    assert [task["data"] for task in tasks] == [
        {"text": text} for text in ("torn, \"and\" 'quoted'", "unsure", "rather")
    ]
    (first,), (second,), _ = (task["predictions"] for task in tasks)
    assert first["score"] == pytest.approx(1 / (1 + np.exp(-0.01)), abs=1e-6)
    assert first["model_version"] == "refit: a-run"
    assert second["result"] == [
        {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["no"]}}
    ]
    assert not list((paths.state_folder() / "to_label").iterdir())


def test_of_several_labels_the_least_sure_one_counts(predictor: Any) -> None:
    """Prevents a row with one certain label from counting as certain, and labels that are not a list of choices."""
    predictor.problem_type = "multi_label"
    to_label.write(predictor, Path("pool.csv"), 9, Path("out.json"))
    tasks = json.loads(Path("out.json").read_text())
    assert [task["predictions"][0]["score"] for task in tasks] == pytest.approx([0.5] * 5)  # the logit of "no" is 0
    choices = {task["data"]["text"]: task["predictions"][0]["result"][0]["value"]["choices"] for task in tasks}
    assert (choices["sure"], choices["no"]) == (["yes"], [])


def test_a_split_and_more_rows_than_there_are(predictor: Any) -> None:
    """Prevents an error for a small pool, and texts read as a user's file, which may not be empty."""
    pq.write_table(batch.pa.table({"text": ["sure", ""], "label": [0, 0]}), "train.parquet")
    assert to_label.write(predictor, Path("train.parquet"), 9, Path("out.json"), is_split=True) == 2
    assert json.loads(Path("out.json").read_text())[0]["data"] == {"text": ""}


def test_a_pair_has_both_texts() -> None:
    """Prevents tasks that show one text of two."""
    assert json.loads(to_label.task(("a", "b"), "yes", 0.5, "m"))["data"] == {"text": "a", "text_pair": "b"}


def test_only_its_own_file_is_replaced(predictor: Any) -> None:
    """Prevents the loss of a Label Studio export, of predictions, and of the texts themselves."""
    for name in ("to_label.json", "to_label.jsonl"):
        for most in (1, 2):
            to_label.write(predictor, Path("pool.csv"), most, Path(name))
    Path("export.json").write_text('[{"id": 1, "data": {"text": "a"}}]')
    with pytest.raises(UsageError, match="refit did not write it"):
        to_label.write(predictor, Path("pool.csv"), 1, Path("export.json"))
    with pytest.raises(UsageError, match=r"need a name that ends in \.json or \.jsonl"):
        to_label.write(predictor, Path("pool.csv"), 1, Path("pool.csv"))


def test_a_regression_is_refused(predictor: Any) -> None:
    """Prevents the rows of the lowest value, as if it were a probability."""
    predictor.problem_type = "regression"
    with pytest.raises(ParamsError, match="need one with labels"):
        to_label.write(predictor, Path("pool.csv"), 1, Path("out.json"))
