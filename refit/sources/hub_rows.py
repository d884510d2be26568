"""Rows of a hub dataset, at one commit.

`datasets` offline ignores `revision` and serves the newest copy that it has, so the commit's files are fetched first
(refit/sources/hub.py) and `datasets` reads that folder.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from refit import files
from refit.errors import DataError
from refit.sources import hub
from refit.sources.loaded import Loaded
from refit.tasks import Hub, Task

if TYPE_CHECKING:
    from datasets import Dataset


def load(task: Task, source: Hub) -> Loaded:
    """Every split of a hub task at its commit. Raises as `hub.snapshot`, and DataError when a column is not there."""
    configs = {place.rpartition("/")[0] or source.config for place in task.splits.values()}
    patterns = ["README.md"] + [f"{config}/*" if config else "**/*.parquet" for config in sorted(configs, key=str)]
    folder = hub.snapshot(source.id, "dataset", source.revision, patterns)
    splits: dict[str, pa.Table] = {}
    labels: list[str] = []
    for name, place in task.splits.items():
        config, _, split = place.rpartition("/")
        dataset = _load_split(folder, config or source.config, split)
        columns = [column for column in (task.text, task.text_pair, task.label) if column]
        missing = [column for column in columns if column not in dataset.column_names]
        if missing:
            raise DataError(
                f"{source.id} {place}: no column {missing[0]!r}; columns are: {', '.join(dataset.column_names)}"
            )
        labels = labels or list(getattr(dataset.features[task.label], "names", None) or [])
        splits[name] = _columns(dataset, task)
    if task.problem_type == "regression":
        labels = []
    elif not labels:
        highest = max(pc.max(table["label"]).as_py() for table in splits.values())
        labels = [str(label) for label in range(highest + 1)]
    sums = {str(path.relative_to(folder)): files.sha256(path) for path in _data_files(folder, configs)}
    return Loaded(
        splits=splits, labels=labels, problem_type=task.problem_type or "classification",
        revision=folder.name, files=sums,
    )  # fmt: skip


def _data_files(folder: Path, configs: set[str | None]) -> list[Path]:
    """The files of the configurations that were read; the cache's folder may hold others' too."""
    inside = [folder / config if config else folder for config in configs]
    return sorted(path for place in inside for path in place.rglob("*") if path.is_file() and path.suffix != ".md")


def _load_split(folder: Path, config: str | None, split: str) -> "Dataset":
    import datasets

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), config, split=split)


def _columns(dataset: "Dataset", task: Task) -> pa.Table:
    table = dataset.data.table
    label_type = pa.float32() if task.problem_type == "regression" else pa.int64()
    columns = {"text": table[task.text].cast(pa.string())}
    if task.text_pair:
        columns["text_pair"] = table[task.text_pair].cast(pa.string())
    columns["label"] = table[task.label].cast(label_type)
    return pa.table(columns)
