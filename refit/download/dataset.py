"""The download stage: a task's examples as parquet, and task.json, the record that the later stages read."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from refit import paths
from refit.data import checks
from refit.data.task_record import SplitRecord, TaskRecord, in_order
from refit.download.splits import Loaded, hold_out, is_hidden
from refit.download.task_registry import DEFAULT_SCORES, Task
from refit.errors import DataError, ParamsError
from refit.params import Download
from refit.storage import files


def write(params: Download, task: Task, target: Path) -> dict[str, Any]:
    """Load a task's examples into `target`, holding missing splits out of train; returns the number of rows.

    Raises DataError if the source's files cannot be used, NetworkError if they cannot be fetched.
    """
    loaded = _with_all_splits(_load(task), params)
    hidden = [split for split, table in loaded.splits.items() if is_hidden(table)]
    for warning in checks.warnings(loaded.splits, hidden):
        print(f"download: {warning}", file=sys.stderr)
    splits = {}
    with files.replaced_folder(target) as folder:
        for split, table in loaded.splits.items():
            path = folder / f"{split}.parquet"
            pq.write_table(table, path, row_group_size=10_000, compression="zstd")
            is_labelled = split not in hidden
            splits[split] = SplitRecord(rows=table.num_rows, is_labelled=is_labelled, sha256=files.sha256(path))
        record = _record(params.task, task, loaded, splits)
        record.write(folder / paths.TASK.name)
    if record.source == "own":
        print(_summary(record))
    return {"rows": sum(split.rows for split in splits.values())}


def _load(task: Task) -> Loaded:
    source = task.source
    if source.kind == "hub":
        from refit.download import hub_dataset

        return hub_dataset.load(task)
    if source.kind == "package":
        from refit.download import movie_genres, vader

        if source.name == movie_genres.FILE:
            return movie_genres.load()
        return vader.load(source.name, regression=task.problem_type == "regression", scores=task.scores)
    from refit.download import local_files

    return local_files.load(paths.OWN.parent / source.name)


def _with_all_splits(loaded: Loaded, params: Download) -> Loaded:
    """Hold the missing splits out of train; both shares are of the rows that train has before."""
    splits = dict(loaded.splits)
    shares = {"test": params.test_share, "validation": params.validation_share}
    shares = {split: share for split, share in shares.items() if split not in splits and share > 0}
    rows = splits["train"].num_rows
    if sum(shares.values()) >= 1:
        raise ParamsError(
            f"params.yaml validation_share, test_share: got {params.validation_share} and {params.test_share}, which "
            "leaves no rows to train on; need a sum below 1"
        )
    for split, share in shares.items():
        splits["train"], splits[split] = hold_out(
            splits["train"], max(1, round(share * rows)), params.split_seed,
            stratified=loaded.problem_type != "regression",
        )  # fmt: skip
    if "validation" not in splits:
        raise DataError("params.yaml validation_share: got 0, but this task has no validation rows; need a share > 0")
    for split, table in splits.items():
        if table.num_rows == 0:
            raise DataError(
                f"{split} has 0 rows; train has none to spare because it keeps a text of every label: give more rows"
            )
    return replace(loaded, splits={name: splits[name] for name in in_order(splits)})


def _record(name: str, task: Task, loaded: Loaded, splits: dict[str, SplitRecord]) -> TaskRecord:
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
        splits=splits,
    )


def _summary(record: TaskRecord) -> str:
    rows = ", ".join(f"{name} {split.rows:,}" for name, split in record.splits.items())
    if record.is_regression:
        kind = "treating labels as numbers (regression) because some have a decimal point"
    else:
        kind = "multi-label, " if record.is_multi_label else ""
        kind += (
            f"{len(record.labels)} {'labels' if record.is_multi_label else 'classes'}: {', '.join(record.labels[:8])}"
        )
    return f"{record.name}: {rows} rows; {kind}"
