"""The command line of refit.predict, and its lines for one text."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_runs import task_record

from refit.errors import DataError, ParamsError, UsageError
from refit.predict import __main__ as predict
from refit.predict import model_source
from refit.predict.predictor import Predictor


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "need one of"),
        (["a", "b", "c"], "got 3 texts; need one of"),
        (["a", "--split", "test"], "need one of"),
        (["--file", "in.csv"], "--file needs --out"),
        (["a", "--out", "out.parquet"], "for a text they are printed"),
        (["a", "--most-uncertain", "5"], "--most-uncertain: need a whole number >= 1, --file or --split"),
        (["--split", "train", "--most-uncertain", "5"], "--most-uncertain: need .* and --out"),
        (["--file", "in.csv", "--out", "out.json", "--most-uncertain", "0"], "--most-uncertain: need a whole"),
    ],
)
def test_bad_command_lines_are_named(given: list[str], said: str) -> None:
    """Prevents a command that is only partly understood from doing something else."""
    with pytest.raises(ParamsError, match=said):
        predict.arguments(given)


def test_one_text_prints_the_ten_most_likely_labels(capsys: pytest.CaptureFixture[str]) -> None:
    """Prevents 2,000 lines for one text."""
    many = SimpleNamespace(
        model=SimpleNamespace(task=None), labels=[f"label {i}" for i in range(2_000)],
        logits=lambda _: np.arange(2_000, dtype=np.float32)[None], thresholds=[],
        problem_type="classification", predictions=lambda logits: ["label 1999"],
    )  # fmt: skip
    predict._predict_text(many, ["a text"])  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == [str(i) for i in range(1_999, 1_989, -1)]


def test_a_pair_for_a_task_of_single_texts_is_refused() -> None:
    """Prevents a prediction for a kind of input that the model was not trained on."""
    single = SimpleNamespace(model=SimpleNamespace(task=task_record()))
    with pytest.raises(ParamsError, match="one text at a time, got 2"):
        predict._predict_text(single, ["a text", "another"])  # type: ignore[arg-type]


def test_names_of_no_usable_model_are_refused(tiny_model: Path) -> None:
    """Prevents nonsense from the random head that transformers would add, and git's error for a typo."""
    with pytest.raises(UsageError, match="--model nope: no folder"), model_source.find("nope"):
        pass
    with pytest.raises(DataError, match="without a classification head"), model_source.find(str(tiny_model)) as found:
        Predictor(found)
