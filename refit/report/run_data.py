"""The inputs of the report: a run's task, params, scores, examples and predictions."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from refit import paths
from refit.data import parquet
from refit.data.task_record import TaskRecord
from refit.errors import DataError
from refit.storage import files, manifest
from refit.storage.arrow import Rows

Column = npt.NDArray[Any]


@dataclass(frozen=True)
class Predicted:
    """The scored examples of one split, as columns of equal length.

    row: index in data/raw. probabilities: (rows, labels), None for regression. length: tokens with special ones.
    """

    row: Column
    label: Column
    prediction: Column
    probabilities: npt.NDArray[np.float32] | None
    length: Column

    @property
    def right(self) -> Column:
        """1.0 where the label was predicted, else 0.0."""
        return np.equal(self.label, self.prediction).astype(np.float64)

    @property
    def error(self) -> Column:
        """Predicted minus true value."""
        return np.subtract(self.prediction, self.label, dtype=np.float64)


class Run:
    """An evaluated run, read from its outputs as they are needed. `params` are all of params.yaml."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.task = TaskRecord.read(paths.TASK)
        self.model = manifest.read_record(paths.BASE_MODEL / "model.json")
        self.scores = self._of_task(paths.SCORES)
        self.details = self._of_task(paths.DETAILS)

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers rather than classes."""
        return self.task.is_regression

    @property
    def labels(self) -> list[str]:
        """The names of the classes; none for regression."""
        return self.task.labels

    @property
    def splits(self) -> list[str]:
        """Every split: train, then validation, then test."""
        return sorted(self.task.splits, key=_order)

    @property
    def scored(self) -> list[str]:
        """The splits that have scores, validation first."""
        return sorted(self.scores, key=_order)

    @property
    def reported(self) -> list[str]:
        """The splits that have scores, test first: no epoch was chosen on it."""
        return sorted(self.scores, key=lambda split: (not split.startswith("test"), split))

    @cached_property
    def most_frequent(self) -> int:
        """The most frequent label of the training examples used, the first of equals; for classification."""
        return int(np.bincount(self.sampled["train"].label).argmax())

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One row per evaluation during training."""
        return _numbers(paths.HISTORY.read_text(encoding="utf-8"))

    @cached_property
    def steps(self) -> list[dict[str, float]]:
        """One row per logged range of training steps."""
        return _numbers(paths.STEPS.read_text(encoding="utf-8"))

    @property
    def best(self) -> dict[str, float]:
        """The evaluation whose weights were kept: the best score on validation, the first of equals."""
        return max(self.history, key=lambda row: row[f"validation_{self.task.best_score}"])

    @cached_property
    def sampled(self) -> dict[str, Rows]:
        """The examples that the run used, by split."""
        return {split: Rows.read(paths.SAMPLED / f"{split}.arrow") for split in self.splits}

    @cached_property
    def _predictions(self) -> pa.Table:
        with parquet.opened(paths.PREDICTIONS) as file:
            return file.read()

    def predicted(self, split: str) -> Predicted:
        """The scored examples of a split, in the order of data/sampled. Raises DataError if they are others."""
        table = self._predictions.filter(pc.equal(self._predictions["split"], split))
        rows = self.sampled[split]
        if not np.array_equal(rows.row, table["row"].to_numpy()):
            raise DataError(f"{paths.PREDICTIONS}: its {split} rows are not those of {paths.SAMPLED}; run: dvc repro")
        chances = None
        if "probabilities" in table.column_names:
            flat = table["probabilities"].combine_chunks().flatten().to_numpy()
            chances = flat.reshape(table.num_rows, -1)
        return Predicted(rows.row, table["label"].to_numpy(), table["prediction"].to_numpy(), chances, rows.length)

    def _of_task(self, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = files.read_json(path)
        if self.task.name not in values:
            raise DataError(f"{path} is of {', '.join(values)}, not of {self.task.name}; run: dvc repro")
        return dict(values[self.task.name])

    def texts(self, split: str, rows: Column) -> list[tuple[str, ...]]:
        """The texts of rows of data/raw."""
        return parquet.take(paths.RAW / f"{split}.parquet", rows)


def _order(split: str) -> tuple[int, str]:
    return ("train", "validation", "test").index(split.partition("_")[0]), split


def _numbers(text: str) -> list[dict[str, float]]:
    return [
        {name: float(value) for name, value in row.items() if value != ""} for row in csv.DictReader(text.splitlines())
    ]
