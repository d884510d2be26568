"""Label errors: planted ones are found, in the right rows, and the runs are of different folds."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import reviews
from made_runs import task_record
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from refit import label_errors
from refit.compare.runs import Run
from refit.errors import DataError, NetworkError, UsageError
from refit.repo import Revision

ROWS, FOLDS = 600, 3
TEXTS = [text for text, _ in reviews(ROWS, seed=5)]
RIGHT = np.array([label == "positive" for _, label in reviews(ROWS, seed=5)], dtype=np.int64)
PLANTED = np.random.default_rng(1).choice(ROWS, ROWS // 20, replace=False)
LABELS = np.where(np.isin(np.arange(ROWS), PLANTED), 1 - RIGHT, RIGHT)


@dataclass(frozen=True)
class Stored(Revision):
    """A revision whose DVC-tracked files are in a folder."""

    folder: Path = Path()

    def from_dvc(self, path: Path) -> bytes:
        """The content of a file."""
        return (self.folder / path.name).read_bytes()


def fold_run(folder: Path, fold: int, **changes: Any) -> Run:
    """The run of one fold: a linear model predicts the fold's rows from the others; they are in any order."""
    inside = np.arange(ROWS) % FOLDS == fold - 1
    vectorizer = TfidfVectorizer().fit(TEXTS)
    known, asked = (vectorizer.transform([TEXTS[row] for row in np.flatnonzero(of)]) for of in (~inside, inside))
    probabilities = LogisticRegression().fit(known, LABELS[~inside]).predict_proba(asked)
    raw = pa.table({"text": np.array(TEXTS)[inside], "label": LABELS[inside]})
    place = folder / str(fold)
    place.mkdir(exist_ok=True)
    pq.write_table(raw, place / "validation.parquet")
    rows = np.random.default_rng(fold).permutation(raw.num_rows)
    chances = pa.array(probabilities[rows].tolist(), pa.list_(pa.float64(), 2))
    guesses = probabilities[rows].argmax(axis=1)
    predicted = pa.table({"row": rows, "label": LABELS[inside][rows], "prediction": guesses, "probabilities": chances})
    fields: dict[str, Any] = {
        "revision": Stored(name=f"fold-{fold}", commit="0" * 40, folder=place), "task_name": "own/t",
        "scores": {"validation": {"rows": len(rows)}}, "params": {"lr": 1, "seed": 1, "folds": FOLDS, "fold": fold},
        "inputs": {}, "task": task_record(labels=["bad", "good"]), "predicted": {"validation": predicted},
        "missing": "", "notes": [], **changes,
    }  # fmt: skip
    return Run(**fields)


@pytest.fixture
def of_folds(tmp_path: Path) -> list[Run]:
    """The runs of all folds."""
    return [fold_run(tmp_path, fold) for fold in range(1, FOLDS + 1)]


def test_planted_label_errors_come_first_with_their_own_text_and_label(of_folds: list[Run]) -> None:
    """Prevents a list in reverse, the text of another row, and the rows of one fold alone."""
    pooled = label_errors.pooled(of_folds)
    errors = label_errors.find(pooled)
    assert len(pooled.predicted["validation"]) == ROWS
    first = [TEXTS.index(error["text"]) for error in errors[: len(PLANTED)]]
    assert len(set(first)) == len(PLANTED)
    assert np.isin(first, PLANTED).mean() > 0.9
    for row, error in zip(first, errors, strict=False):
        assert error["label"] == ["bad", "good"][LABELS[row]]
        assert error["predicted"] != error["label"]
        assert float(error["probability"]) > 0.5


def test_a_task_whose_labels_are_right_has_almost_no_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents hours over rows that are right."""
    monkeypatch.setattr(sys.modules[__name__], "LABELS", RIGHT)
    of_folds = [fold_run(tmp_path, fold) for fold in range(1, FOLDS + 1)]
    assert len(label_errors.find(label_errors.pooled(of_folds))) < ROWS / 100


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"task": None, "missing": "metrics/predictions.parquet is not here"}, NetworkError, "is not here"),
        ({"task": task_record(problem_type="regression", labels=[])}, DataError, "need a task of classes"),
        ({"params": {"lr": 2, "seed": 1, "folds": 3, "fold": 2}}, UsageError, "need one run of each fold"),
        ({"params": {"lr": 1, "seed": 1, "folds": 3, "fold": 1}}, UsageError, "need one run of each fold"),
        ({"params": {"lr": 1, "seed": 2, "folds": 3, "fold": 2}}, UsageError, "need one run of each fold"),
        ({"inputs": {"code.py": "2"}}, UsageError, "need one run of each fold"),
    ],
)
def test_runs_that_are_not_folds_of_one_task_are_refused(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    """Prevents rows that are counted twice, and a traceback for a regression."""
    of_folds = [fold_run(tmp_path, 2, **changes)]
    if error is UsageError:
        of_folds.insert(0, fold_run(tmp_path, 1))
    with pytest.raises(error, match=said):
        label_errors.find(label_errors.pooled(of_folds))


def test_rows_of_one_label_are_refused(tmp_path: Path) -> None:
    """Prevents cleanlab's traceback for a validation split of a row or two."""
    one = fold_run(tmp_path, 1)
    one.predicted["validation"] = one.predicted["validation"].slice(0, 1)
    with pytest.raises(DataError, match="fold-1: all 1 rows have the same label"):
        label_errors.find(one)


def test_a_file_that_may_be_corrected_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents the loss of an afternoon's corrections."""
    (tmp_path / "errors.csv").touch()
    monkeypatch.setattr(sys, "argv", ["label_errors", "--out", str(tmp_path / "errors.csv")])
    with pytest.raises(UsageError, match="or you may have changed it; choose"):
        label_errors.main()


def test_without_cleanlab_the_command_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a traceback for the package that is not installed by default."""
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(UsageError, match="cleanlab is not installed; run: "):
        label_errors.find(fold_run(tmp_path, 1))
