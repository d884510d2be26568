"""The inputs of the report: a run's task, params, scores, examples and predictions."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from refit import paths
from refit.data import parquet
from refit.data.task_record import TaskRecord, in_order
from refit.errors import DataError
from refit.evaluation import predictions
from refit.evaluation.metrics import is_right
from refit.storage import files, manifest
from refit.storage.arrow import Rows

Column = npt.NDArray[Any]


@dataclass(frozen=True)
class Predicted:
    """The scored examples of one split, as columns of equal length.

    row: index in data/raw. label, prediction: as refit/evaluation/metrics.py takes them. probabilities: (rows, labels),
    None for regression. length: tokens with special ones (of a text in windows, in all of them).
    """

    row: Column
    label: Column
    prediction: Column
    probabilities: npt.NDArray[np.float32] | None
    length: Column

    @property
    def right(self) -> Column:
        """1.0 where the label, or exactly all labels, were predicted, else 0.0."""
        return is_right(self.label, self.prediction).astype(np.float64)

    @property
    def error(self) -> Column:
        """Predicted minus true value."""
        return np.subtract(self.prediction, self.label, dtype=np.float64)


class Run:
    """An evaluated run, read from its outputs. `params` are all of params.yaml.

    `splits`: every split, train first. `scored`: the splits that have scores, test first, because no epoch was chosen
    on it. `history`: one row per evaluation during training; `best` is the one whose weights were kept, with the best
    score on validation, the first of equals. `steps`: one row per logged range of training steps. `sampled`: the
    examples that the run used. `predicted`: the scored ones, in the same order.
    """

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.task = TaskRecord.read(paths.TASK)
        self.model = manifest.read_record(paths.BASE_MODEL / "model.json")
        self.scores = self._of_task(paths.SCORES)
        self.details = self._of_task(paths.DETAILS)
        self.splits = in_order(self.task.splits)
        self.scored = sorted(self.scores)
        self.history, self.steps = _numbers(paths.HISTORY), _numbers(paths.STEPS)
        self.best = max(self.history, key=lambda row: row[f"validation_{self.task.best_score}"])
        self.sampled = {split: Rows.read(paths.SAMPLED / f"{split}.arrow").texts() for split in self.splits}
        self.predicted = self._predicted()

    def label_counts(self, split: str) -> Column:
        """How many of the examples used have each label; 0 where labels are hidden."""
        labels = self.sampled[split].label
        if labels.ndim == 2:
            return np.asarray(labels.sum(axis=0, dtype=np.int64))
        return np.bincount(labels[labels >= 0], minlength=len(self.task.labels))

    def names(self, label: Any) -> Any:
        """The names of the labels of an example, or its value in a regression.

        `label` is a label id, a row of 0 or 1 (or predictions) per label, or a text of ids of refit/data/label_sets.py.
        """
        if self.task.is_regression:
            return label
        ids = np.flatnonzero(label > 0) if np.ndim(label) else map(int, str(label).split())
        return [self.task.labels[index] for index in ids]

    def texts(self, split: str, rows: Column) -> list[tuple[str, ...]]:
        """The texts of rows of data/raw."""
        return parquet.take(paths.RAW / f"{split}.parquet", rows)

    def _of_task(self, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = files.read_json(path)
        if self.task.name not in values:
            raise DataError(f"{path} is of {', '.join(values)}, not of {self.task.name}; run: dvc repro")
        return dict(values[self.task.name])

    def _predicted(self) -> dict[str, Predicted]:
        found = {}
        for split, table in predictions.read(paths.PREDICTIONS, self.scored).items():
            rows = self.sampled[split]
            if not np.array_equal(rows.row, table["row"].to_numpy()):
                raise DataError(
                    f"{paths.PREDICTIONS}: its {split} rows are not those of {paths.SAMPLED}; run: dvc repro"
                )
            chances = None if self.task.is_regression else predictions.probabilities(table)
            label, prediction = predictions.arrays(table)
            found[split] = Predicted(rows.row, label, prediction, chances, rows.length)
        return found


def _numbers(path: Path) -> list[dict[str, float]]:
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return [{name: float(value) for name, value in row.items() if value != ""} for row in rows]
