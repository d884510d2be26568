"""The comparison with the baseline."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_runs import task_record

from refit import paths
from refit.errors import DataError
from refit.evaluation import against_baseline
from refit.storage import manifest

ROWS = 400
LABELS = np.arange(ROWS) % 2


def predictions(right: float, split: str = "test", first_row: int = 0) -> pa.Table:
    """Predictions of which a fraction is right."""
    wrong = np.random.default_rng(0).permutation(ROWS) >= right * ROWS
    return table(np.where(wrong, 1 - LABELS, LABELS), split, first_row)


def table(predicted: npt.NDArray[np.int64], split: str, first_row: int) -> pa.Table:
    """Predictions as evaluate and baseline write them."""
    rows = np.arange(first_row, first_row + ROWS)
    return pa.table({"split": [split] * ROWS, "row": rows, "label": LABELS, "prediction": predicted})


@pytest.fixture
def baseline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A baseline that is right on 60% of the test rows."""
    monkeypatch.chdir(tmp_path)
    paths.BASELINE.mkdir(parents=True)
    pq.write_table(predictions(0.6), paths.BASELINE_PREDICTIONS)
    manifest.write(paths.BASELINE, {paths.BASELINE_PREDICTIONS.name: {}})


@pytest.mark.parametrize(
    ("right", "words", "better"),
    [(0.9, "+0.300, real (p < 0.0001)", True), (0.61, "+0.010, not shown to be better (p", False),
     (0.59, "-0.010, not shown to be worse (p", False), (0.2, "-0.400, really worse (p < 0.0001)", False)],
)  # fmt: skip
@pytest.mark.usefixtures("baseline")
def test_an_encoder_is_better_worse_or_neither(right: float, words: str, better: bool) -> None:
    """Prevents a gain over the baseline that may be chance from being called real, and a loss from being hidden."""
    test = against_baseline.tests(task_record(), {"test": predictions(right)})["test"]["accuracy"]
    assert test["value"] == pytest.approx(0.6)
    assert test["interval"][0] < test["difference"] < test["interval"][1]
    assert against_baseline.verdict(test).startswith(words)
    assert against_baseline.is_better(test) is better


@pytest.mark.usefixtures("baseline")
def test_other_rows_are_refused() -> None:
    """Prevents a paired test of predictions for different examples."""
    with pytest.raises(DataError, match="test rows"):
        against_baseline.tests(task_record(), {"test": predictions(0.9, first_row=1)})


@pytest.mark.usefixtures("baseline")
def test_a_damaged_baseline_is_named() -> None:
    """Prevents a traceback, and a test against half of a file."""
    paths.BASELINE_PREDICTIONS.write_bytes(paths.BASELINE_PREDICTIONS.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"baseline/predictions\.parquet"):
        against_baseline.tests(task_record(), {"test": predictions(0.9)})
