"""Load the examples of a hub dataset at a commit.

Offline, `datasets` ignores `revision` and serves the newest copy in its cache. So refit/download/hub.py downloads the
commit's files, and `datasets` reads these.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from refit.download import hub
from refit.download.splits import Loaded
from refit.download.task_registry import Hub, Task
from refit.errors import DataError
from refit.storage import files

if TYPE_CHECKING:
    from datasets import Dataset


def load(task: Task, source: Hub) -> Loaded:
    """Every split of a hub task. Raises as `hub.snapshot`, and DataError if a split or a column is missing."""
    places = {}  # the (configuration, split) in the source of each of our splits
    for name, written in task.splits.items():
        config, _, split = written.rpartition("/")
        places[name] = (config or source.config, split)
    patterns = sorted({f"{config}/*.parquet" for config, _ in places.values()})
    folder = hub.snapshot(source.name, "dataset", source.revision, ["README.md", *patterns])
    splits: dict[str, pa.Table] = {}
    labels: list[str] = []
    hashes: dict[str, str] = {}
    for name, (config, split) in places.items():
        found = sorted(folder.glob(f"{config}/{split}-*.parquet"))
        where = f"{source.name}@{folder.name} {config}/{split}"
        if not found:
            raise DataError(f"{where}: has no files; check the task's splits in refit/download/task_registry.py")
        dataset = _read(found, folder, config)
        columns = [column for column in (task.text, task.text_pair, task.label) if column]
        if missing := [column for column in columns if column not in dataset.column_names]:
            raise DataError(f"{where}: no column {missing[0]!r}; columns are: {', '.join(dataset.column_names)}")
        labels = labels or list(getattr(dataset.features[task.label], "names", None) or [])
        splits[name] = _columns(dataset, task)
        hashes |= {str(path.relative_to(folder)): files.sha256(path) for path in found}
    if task.problem_type == "regression":
        labels = []
    elif not labels:
        highest = max(pc.max(table["label"]).as_py() for table in splits.values())
        labels = [str(label) for label in range(highest + 1)]
    return Loaded(
        splits=splits, labels=labels, problem_type=task.problem_type or "classification", revision=folder.name,
        files=hashes,
    )  # fmt: skip


def _read(found: list[Path], folder: Path, config: str) -> "Dataset":
    """The rows of parquet files, with the features in the repository's card."""
    import datasets
    from datasets.info import DatasetInfosDict

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    infos = DatasetInfosDict.from_directory(str(folder))
    features = infos[config].features if config in infos else None
    return datasets.load_dataset("parquet", data_files=list(map(str, found)), split="train", features=features)


def _columns(dataset: "Dataset", task: Task) -> pa.Table:
    table = dataset.data.table
    label_type = pa.float32() if task.problem_type == "regression" else pa.int64()
    columns = {"text": table[task.text].cast(pa.string())}
    if task.text_pair:
        columns["text_pair"] = table[task.text_pair].cast(pa.string())
    columns["label"] = table[task.label].cast(label_type)
    return pa.table(columns)
