"""The task record: data/raw/task.json, all that the stages after download know about the task."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from refit.errors import DataError
from refit.storage import manifest

ProblemType = Literal["classification", "multi_label", "regression"]


class SplitRecord(BaseModel):
    """A split in data/raw: its number of rows, whether they have labels, and the SHA-256 of its parquet file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    rows: int
    is_labelled: bool
    sha256: str


class TaskRecord(BaseModel):
    """A row of the task table with everything decided, and what was found in its source; see Source and Loaded.

    `labels` are the class names in the order of their ids, empty for a regression. `scores` are names of
    refit/evaluation/metrics.py; `best_score` picks the best epoch.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    name: str = Field(alias="task")
    source: Literal["hub", "package", "own"]
    source_name: str
    revision: str | None
    files: dict[str, str]
    problem_type: ProblemType
    is_pair: bool
    labels: list[str]
    scores: list[str]
    best_score: str
    note: str
    human: dict[str, dict[str, float]] = {}
    splits: dict[str, SplitRecord]

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers rather than classes."""
        return self.problem_type == "regression"

    @property
    def is_multi_label(self) -> bool:
        """Whether an example may have several labels, or none."""
        return self.problem_type == "multi_label"

    @property
    def scored_splits(self) -> list[str]:
        """The splits that evaluate scores: all with labels, except train."""
        return [split for split, record in self.splits.items() if split != "train" and record.is_labelled]

    @classmethod
    def read(cls, path: Path) -> "TaskRecord":
        """Read a task.json. Raises DataError if it is missing, damaged or of another version of refit."""
        return cls.parse(manifest.read_record(path), str(path))

    @classmethod
    def parse(cls, record: dict[str, Any], where: str) -> "TaskRecord":
        """The record in the JSON object `record`, with or without its hash; raises DataError naming `where`."""
        try:
            return cls.model_validate({name: value for name, value in record.items() if name != manifest.SEAL})
        except ValidationError as error:
            key = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise DataError(f"{where}: {key} is not what this version of refit writes; run: dvc repro") from None

    def write(self, path: Path) -> None:
        """Write the record as JSON that carries its own hash."""
        manifest.write_record(path, self.model_dump(by_alias=True))


def in_order(splits: Iterable[str]) -> list[str]:
    """The names of splits sorted: train, then validation, then test; several of a kind, such as MNLI's, by name."""
    return sorted(splits, key=lambda name: (("train", "validation", "test").index(name.partition("_")[0]), name))
