"""The download stage: a task's examples as parquet, and task.json, the record that the later stages read."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refit import paths
from refit.data import checks
from refit.data.task_record import SplitRecord, TaskRecord, in_order
from refit.download import local_files, movie_genres, splits, vader
from refit.download.splits import Loaded
from refit.download.task_registry import DEFAULT_SCORES, Task
from refit.errors import DataError, ParamsError
from refit.params import Download, SplitBy
from refit.storage import files


def write(params: Download, task: Task, target: Path) -> dict[str, Any]:
    """Load a task's examples into `target`, holding missing splits out of train; returns the number of rows.

    Raises ParamsError for params that exclude one another, DataError if the source's files cannot be used, NetworkError
    if they cannot be fetched.
    """
    _check(params, task)
    loaded = _with_all_splits(_load(task, params.split_by), params)
    hidden = [split for split, table in loaded.splits.items() if splits.is_hidden(table)]
    for warning in checks.warnings(loaded.splits, hidden):
        print(f"download: {warning}", file=sys.stderr)
    records = {}
    with files.replaced_folder(target) as folder:
        for split, table in loaded.splits.items():
            path = folder / f"{split}.parquet"
            pq.write_table(table, path, row_group_size=10_000, compression="zstd")
            sha256 = files.sha256(path)
            records[split] = SplitRecord(rows=table.num_rows, is_labelled=split not in hidden, sha256=sha256)
        record = _record(params.task, task, loaded, records)
        record.write(folder / paths.TASK.name)
    if record.source == "own":
        print(_summary(record))
    return {"rows": sum(split.rows for split in records.values())}


def _check(params: Download, task: Task) -> None:
    """Raise ParamsError for params of the splits that cannot be used together, or not with this task."""
    by, problem = params.split_by, ""
    if by != "random" and task.source.kind != "own":
        problem = f"split_by: got {by}, but only own data (task: own/NAME) has a column {by}; need random"
    elif by == "time" and params.folds:
        problem = f"split_by, folds: got time and {params.folds}, but folds mix old and new rows; need folds: 0"
    elif params.fold > max(1, params.folds):
        wanted = f"from 1 to {params.folds}" if params.folds else "1, or folds: 2 or more"
        problem = f"fold: got {params.fold} with folds: {params.folds}; need {wanted}"
    if problem:
        raise ParamsError(f"params.yaml {problem}")


def _load(task: Task, split_by: SplitBy) -> Loaded:
    source = task.source
    if source.kind == "hub":
        from refit.download import hub_dataset

        return hub_dataset.load(task)
    if source.kind == "package":
        if source.name == movie_genres.FILE:
            return movie_genres.load()
        return vader.load(source.name, regression=task.problem_type == "regression", scores=task.scores)
    return local_files.load(paths.OWN.parent / source.name, split_by)


def _with_all_splits(loaded: Loaded, params: Download) -> Loaded:
    """Hold the missing splits out of train, with shares of all its rows; with folds, take validation from train."""
    tables, is_by_time = dict(loaded.splits), params.split_by == "time"
    shares = {"test": params.test_share, "validation": 0.0 if params.folds else params.validation_share}
    shares = {split: share for split, share in shares.items() if split not in tables and share > 0}
    if is_by_time and "validation" in tables and "test" in shares:
        raise ParamsError(
            "params.yaml split_by: got time with a file for validation and none for test, which must be later; add a "
            "test file, or set test_share: 0"
        )
    if sum(shares.values()) >= 1:
        raise ParamsError(
            f"params.yaml validation_share, test_share: got {params.validation_share} and {params.test_share}, which "
            "leaves no rows to train on; need a sum below 1"
        )
    rows = tables["train"].num_rows
    for split, share in shares.items():
        train, wanted = tables["train"], max(1, round(share * rows))
        if params.split_by == "random":
            chosen = splits.at_random(train, wanted, params.split_seed)
        elif is_by_time:
            chosen = splits.latest(train, wanted)
        else:
            chosen = splits.parts(train, [max(1, train.num_rows - wanted), wanted], params.split_seed) == 1
        tables["train"], tables[split] = splits.divided(train, chosen)
    if params.folds:
        tables["train"], tables["validation"] = _fold(tables, params)
    if "validation" not in tables:
        raise DataError("params.yaml validation_share: got 0, but this task has no validation rows; need a share > 0")
    for split, table in tables.items():
        if table.num_rows == 0:
            raise DataError(
                f"{split} has 0 rows; train has none to spare because it keeps a text of every label: give more rows"
            )
    if params.split_by != "random":
        tables = {split: table.drop_columns(params.split_by) for split, table in tables.items()}
    return replace(loaded, splits={name: tables[name] for name in in_order(tables)})


def _fold(tables: dict[str, pa.Table], params: Download) -> tuple[pa.Table, pa.Table]:
    """The training rows and the validation rows of a fold, of both together."""
    given = [name for name in tables if name.startswith("validation")]
    if len(given) > 1:
        raise ParamsError(f"params.yaml folds: got {params.folds}, but the task has {' and '.join(given)}; need 0")
    rows = pa.concat_tables([tables[name] for name in ("train", *given)])
    return splits.divided(rows, splits.parts(rows, [1] * params.folds, params.split_seed) == params.fold - 1)


def _record(name: str, task: Task, loaded: Loaded, records: dict[str, SplitRecord]) -> TaskRecord:
    scores = task.scores if task.problem_type else DEFAULT_SCORES[loaded.problem_type]
    return TaskRecord(
        name=name,
        source=task.source.kind,
        source_name=task.source.name,
        revision=loaded.revision,
        files=loaded.files,
        problem_type=loaded.problem_type,
        is_pair=all("text_pair" in table.column_names for table in loaded.splits.values()),
        labels=loaded.labels,
        scores=list(scores),
        best_score=scores[0],
        note=task.note,
        human=loaded.human,
        splits=records,
    )


def _summary(record: TaskRecord) -> str:
    rows = ", ".join(f"{name} {split.rows:,}" for name, split in record.splits.items())
    if record.is_regression:
        kind = "treating labels as numbers (regression) because some have a decimal point"
    else:
        what = "labels for each text (multi-label)" if record.is_multi_label else "classes"
        kind = f"{len(record.labels)} {what}: {', '.join(record.labels[:8])}"
    return f"{record.name}: {rows} rows; {kind}"
