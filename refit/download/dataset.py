"""The raw data: a task's rows as parquet, and task.json, all that the later stages know of the task."""

import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from refit import paths
from refit.data import checks
from refit.data.task_record import SplitRecord, TaskRecord
from refit.download.splits import Loaded, hold_out, is_hidden
from refit.download.task_registry import Hub, Own, Package, Task
from refit.errors import DataError, ParamsError
from refit.params import Download
from refit.storage import files


def write(params: Download, task: Task, target: Path) -> dict[str, Any]:
    """Load a task's rows from their source into `target`; returns the rows written.

    Splits that the source lacks are held out of train. Raises DataError and NetworkError as the sources do.
    """
    loaded = _with_all_splits(_load(task), params)
    hidden = [split for split, table in loaded.splits.items() if is_hidden(table)]
    for warning in checks.warnings(loaded.splits, hidden):
        print(f"download: {warning}", file=sys.stderr)
    hashes: dict[str, str] = {}
    with files.replaced_folder(target) as folder:
        for split, table in loaded.splits.items():
            path = folder / f"{split}.parquet"
            pq.write_table(table, path, row_group_size=10_000, compression="zstd")
            hashes[split] = files.sha256(path)
        record = _record(params.task, task, loaded, hashes)
        record.write(folder / paths.TASK.name)
    if isinstance(task.source, Own):
        print(_summary(record))
    return {"rows": sum(table.num_rows for table in loaded.splits.values())}


def _load(task: Task) -> Loaded:
    match task.source:
        case Hub() as source:
            from refit.download import hub_dataset

            return hub_dataset.load(task, source)
        case Package() as source:
            from refit.download import vader

            return vader.load(source.file, regression=task.problem_type == "regression")
        case Own() as source:
            from refit.download import local_files

            return local_files.load(paths.OWN / source.name)


def _with_all_splits(loaded: Loaded, params: Download) -> Loaded:
    """Hold out of train the splits that the source lacks; each share is of all rows that train has there."""
    splits = dict(loaded.splits)
    shares = {"test": params.test_share, "validation": params.validation_share}
    shares = {split: share for split, share in shares.items() if split not in splits and share > 0}
    rows = splits["train"].num_rows
    stratified = loaded.problem_type == "classification"
    if sum(shares.values()) >= 1:
        raise ParamsError(
            f"params.yaml validation_share, test_share: got {params.validation_share} and {params.test_share}, which "
            "leaves no rows to train on; need a sum below 1"
        )
    for split, share in shares.items():
        wanted = max(1, round(share * rows))
        splits["train"], splits[split] = hold_out(splits["train"], wanted, params.split_seed, stratified=stratified)
    if "validation" not in splits:
        raise DataError("params.yaml validation_share: got 0, but this task has no validation rows; need a share > 0")
    for split, table in splits.items():
        if table.num_rows == 0:
            raise DataError(
                f"{split} has 0 rows; train has none to spare because it keeps a text of every label: give more rows"
            )
    order = sorted(splits, key=lambda name: (("train", "validation", "test").index(name.partition("_")[0]), name))
    return Loaded(
        splits={name: splits[name] for name in order}, labels=loaded.labels, problem_type=loaded.problem_type,
        revision=loaded.revision, files=loaded.files,
    )  # fmt: skip


def _record(name: str, task: Task, loaded: Loaded, hashes: dict[str, str]) -> TaskRecord:
    """The task record: the row of the table with everything in it decided."""
    own_regression = isinstance(task.source, Own) and loaded.problem_type == "regression"
    return TaskRecord(
        name=name,
        source=task.source.kind,
        source_name=getattr(task.source, "id", None) or getattr(task.source, "file", None) or name,
        revision=loaded.revision,
        files=loaded.files,
        problem_type=loaded.problem_type,
        is_pair=all("text_pair" in table.column_names for table in loaded.splits.values()),
        labels=loaded.labels,
        scores=["pearson", "spearmanr"] if own_regression else list(task.scores),
        best_score="pearson" if own_regression else task.best_score,
        note=task.note,
        splits={
            split: SplitRecord(rows=table.num_rows, is_labelled=not is_hidden(table), sha256=hashes[split])
            for split, table in loaded.splits.items()
        },
    )


def _summary(record: TaskRecord) -> str:
    rows = ", ".join(f"{name} {split.rows:,}" for name, split in record.splits.items())
    if record.is_regression:
        kind = "treating labels as numbers (regression) because some have a decimal point"
    else:
        kind = f"{len(record.labels)} classes: {', '.join(record.labels[:8])}"
    return f"{record.name}: {rows} rows; {kind}"
