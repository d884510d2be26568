"""Load the examples of a hub dataset at a commit.

Offline, `datasets` serves the newest copy in its cache: so hub.py downloads the commit's files, and it reads these.
"""

import sys

import datasets
import pyarrow as pa
from datasets.info import DatasetInfosDict

from refit.download import hub
from refit.download.splits import Loaded
from refit.download.task_registry import Task
from refit.errors import DataError
from refit.storage import files


def load(task: Task) -> Loaded:
    """Every split of a hub task. Raises as `hub.snapshot`, and DataError if a split or a column is missing."""
    source = task.source
    places = {}  # the (configuration, split) in the source of each of our splits
    for name, written in task.splits.items():
        config, _, split = written.rpartition("/")
        places[name] = (config or source.config, split)
    patterns = sorted({f"{config}/*.parquet" for config, _ in places.values()})
    folder = hub.snapshot(source.name, "dataset", source.revision, ["README.md", *patterns])
    infos = DatasetInfosDict.from_directory(str(folder))  # with the label names, from the repository's card
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    splits: dict[str, pa.Table] = {}
    labels: list[str] = []
    hashes: dict[str, str] = {}
    is_regression = task.problem_type == "regression"
    for name, (config, split) in places.items():
        found = sorted(folder.glob(f"{config}/{split}-*.parquet"))
        where = f"{source.name}@{folder.name} {config}/{split}"
        if not found:
            raise DataError(f"{where}: has no files; check the task's splits in refit/download/task_registry.py")
        features = infos[config].features if config in infos else None
        dataset = datasets.load_dataset("parquet", data_files=list(map(str, found)), split="train", features=features)
        columns = {"text": task.text, "text_pair": task.text_pair, "label": task.label}
        columns = {ours: theirs for ours, theirs in columns.items() if theirs}
        if missing := [theirs for theirs in columns.values() if theirs not in dataset.column_names]:
            raise DataError(f"{where}: no column {missing[0]!r}; columns are: {', '.join(dataset.column_names)}")
        types = {"label": pa.float32() if is_regression else pa.int64()}
        table = dataset.data.table
        splits[name] = pa.table(
            {ours: table[theirs].cast(types.get(ours, pa.string())) for ours, theirs in columns.items()}
        )
        labels = labels or list(getattr(dataset.features[task.label], "names", []))
        hashes |= {str(path.relative_to(folder)): files.sha256(path) for path in found}
    if not is_regression and not labels:
        labels = [str(label) for label in range(max(of["label"].to_numpy().max() for of in splits.values()) + 1)]
    return Loaded(
        splits=splits, labels=labels, problem_type=task.problem_type or "classification", revision=folder.name,
        files=hashes,
    )  # fmt: skip
