"""What changed between the data of two revisions: rows added, removed, relabelled or moved to another split.

Rows are matched by content: texts and labels become 64-bit hashes (refit/data/checks.py), so that a million rows take
seconds. Both versions are multisets: of a text that occurs twice before and once after, one row is removed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from refit import paths
from refit.data import checks, parquet
from refit.data.checks import PAIR_FACTOR, Hashes
from refit.data.task_record import TaskRecord, in_order
from refit.errors import DataError
from refit.repo import Revision
from refit.storage import files

UNCHANGED, ADDED, REMOVED, RELABELLED, MOVED = KINDS = ("unchanged", "added", "removed", "relabelled", "moved")
# What two rows with the same text must share to be a pair of this kind; pairs are found in this order.
PAIRED = ((UNCHANGED, ("label", "split")), (MOVED, ("label",)), (RELABELLED, ("split",)), (RELABELLED, ()))
EXAMPLES = 3  # of each kind of change
RELABELINGS = 10
OCCURRENCE_FACTOR = np.uint64(0xD6E8FEB86659FD93)  # odd, as PAIR_FACTOR, and another number
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DataVersion:
    """The data of one revision: `rows` (text hash, label, split, row in its file), and the number of rows per class.

    `folder` has copies of the files.
    """

    rows: pa.Table
    per_label: dict[str, int]
    folder: Path


@dataclass(frozen=True, eq=False)
class Changes:
    """The differences between the data of the revisions `before` and `after`: the rows of each kind, and tables.

    rows: change, from, to (splits), rows. labels: label, before, after (rows of each class). relabelings, the most
    frequent: label_before, label_after, rows. examples: change, before, after (split and row), label_before,
    label_after, text, [text_pair].
    """

    before: str
    after: str
    totals: dict[str, int]
    tables: dict[str, list[dict[str, Any]]]


def between(first: Revision, second: Revision) -> Changes:
    """Compare the data of two revisions; `tables` is empty if the files are identical, which are then not read.

    Raises NetworkError if a file cannot be fetched, DataError if it is damaged.
    """
    before, after = task_record(first), task_record(second)
    if before.labels == after.labels and before.splits == after.splits:
        rows = sum(split.rows for split in before.splits.values())
        return Changes(first.name, second.name, dict.fromkeys(KINDS, 0) | {UNCHANGED: rows}, {})
    splits = in_order({*before.splits, *after.splits})
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        versions = read(first, before, splits, Path(one)), read(second, after, splits, Path(other))
        return Changes(first.name, second.name, *changes(*versions))


def task_record(revision: Revision) -> TaskRecord:
    """The data/raw/task.json of a revision."""
    where = f"{revision.name}: {paths.TASK}"
    try:
        return TaskRecord.parse(json.loads(revision.from_dvc(paths.TASK)), where)
    except (ValueError, AttributeError):
        raise DataError(f"{where} is not what this version of refit writes; run dvc repro") from None


def read(revision: Revision, task: TaskRecord, splits: Sequence[str], folder: Path) -> DataVersion:
    """Copy the files of those of `splits` that the task has to `folder`, and hash their texts."""
    parts, ids = [], []
    for name in (name for name in splits if name in task.splits):
        source, copied = paths.RAW / f"{name}.parquet", folder / f"{name}.parquet"
        revision.copy_from_dvc(source, copied)
        if files.sha256(copied) != task.splits[name].sha256:
            raise DataError(f"{revision.name}: {source} is not the file that {paths.TASK} describes; run dvc repro")
        texts = checks.hashed(parquet.batches(copied), labelled=False).hashes
        with parquet.opened(copied) as file:
            labels = file.read(columns=["label"])["label"].combine_chunks()
        columns = {"text": texts, "label": label_texts(labels, task.labels), "row": np.arange(len(texts))}
        parts.append(pa.table(columns | {"split": pa.repeat(name, len(texts))}))
        ids.append(labels.flatten().to_numpy() if pa.types.is_list(labels.type) else labels.to_numpy())
    every = np.concatenate(ids)
    counts = [] if task.is_regression else np.bincount(every[every >= 0], minlength=len(task.labels)).tolist()
    return DataVersion(pa.concat_tables(parts), dict(zip(task.labels, counts, strict=True)), folder)


def label_texts(labels: pa.Array, names: Sequence[str]) -> pa.Array:
    """Labels as texts, by which they are compared: two versions may number the classes differently.

    `labels` are numbers, class ids (-1: hidden), or lists of class ids in ascending order (multi-label).
    """
    if pa.types.is_floating(labels.type):
        return labels.cast(pa.string())
    is_list = pa.types.is_list(labels.type)
    ids = labels.values if is_list else labels
    named = pa.array(names, pa.string()).take(pc.if_else(pc.less(ids, 0), None, ids)).fill_null("(hidden)")
    if not is_list:
        return named
    joined = pc.binary_join(pa.ListArray.from_arrays(labels.offsets, named), " | ")
    return pc.if_else(pc.equal(joined, ""), "(none)", joined)


def hashes(rows: pa.Table, columns: Sequence[str]) -> Hashes:
    """A hash of each row's text together with some of its other columns."""
    found: Hashes = rows["text"].to_numpy()
    for name in columns:
        coded = rows[name].combine_chunks().dictionary_encode()
        values = [xxhash.xxh3_64_intdigest(value.encode()) for value in coded.dictionary.to_pylist()]
        found = found * PAIR_FACTOR + np.array(values, np.uint64)[coded.indices.to_numpy()]
    return found


def matched(before: Hashes, after: Hashes) -> tuple[Places, Places]:
    """The places of equal hashes, in pairs: of a hash that occurs three times before and twice after, two pairs."""
    _, one, other = np.intersect1d(_distinct(before), _distinct(after), assume_unique=True, return_indices=True)
    order = np.argsort(one)
    return one[order], other[order]


def pairs(before: pa.Table, after: pa.Table) -> dict[str, tuple[pa.Array, pa.Array]]:
    """The places of the rows of each kind before and after, null where a row does not exist."""
    left, right = np.arange(len(before)), np.arange(len(after))
    found = dict.fromkeys(KINDS, (left[:0], right[:0]))
    for kind, columns in PAIRED:
        one, other = matched(hashes(before.take(left), columns), hashes(after.take(right), columns))
        found[kind] = np.append(found[kind][0], left[one]), np.append(found[kind][1], right[other])
        left, right = np.delete(left, one), np.delete(right, other)
    return found | {REMOVED: (left, pa.nulls(len(left), pa.int64())), ADDED: (pa.nulls(len(right), pa.int64()), right)}


def changes(before: DataVersion, after: DataVersion) -> tuple[dict[str, int], dict[str, list[dict[str, Any]]]]:
    """The `totals` and `tables` of Changes between two versions."""
    found = pairs(before.rows, after.rows)
    parts = {
        kind: _joined(kind, before.rows.take(left), after.rows.take(right)) for kind, (left, right) in found.items()
    }
    relabelled = _counted(parts[RELABELLED], ["label_before", "label_after"]).sort_by([("rows", "descending")])
    tables = {
        "rows": [row for part in parts.values() for row in _counted(part, ["change", "from", "to"]).to_pylist()],
        "labels": [
            {"label": name, "before": before.per_label.get(name, 0), "after": after.per_label.get(name, 0)}
            for name in dict.fromkeys([*before.per_label, *after.per_label])
        ],
        "relabelings": relabelled.slice(0, RELABELINGS).to_pylist(),
        "examples": [
            _example(row, before.folder, after.folder)
            for kind, part in parts.items()
            if kind != UNCHANGED
            for row in part.slice(0, EXAMPLES).to_pylist()
        ],
    }
    return {kind: len(part) for kind, part in parts.items()}, tables


def summary(totals: Mapping[str, int]) -> str:
    """The changes in words: `12 rows added, 1 row relabelled`."""
    changed = [(totals[kind], kind) for kind in KINDS[1:] if totals[kind]]
    return ", ".join(f"{rows:,} row{'s' * (rows > 1)} {kind}" for rows, kind in changed) or "only the order differs"


def _distinct(hashes: Hashes) -> Hashes:
    """The hashes, all different: each further occurrence of a hash is counted and gets another one."""
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order], prepend=~hashes[order[:1]]))
    occurrence = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    found = hashes.copy()
    found[order] += occurrence.astype(np.uint64) * OCCURRENCE_FACTOR
    return found


def _joined(kind: str, before: pa.Table, after: pa.Table) -> pa.Table:
    """Pairs of rows side by side."""
    sides = {"from": before["split"], "to": after["split"], "row_before": before["row"], "row_after": after["row"]}
    labels = {"label_before": before["label"], "label_after": after["label"]}
    return pa.table({"change": pa.repeat(kind, len(before)), **sides, **labels})


def _counted(rows: pa.Table, columns: list[str]) -> pa.Table:
    """How often each combination of values occurs, in the order of the first occurrence."""
    return rows.group_by(columns, use_threads=False).aggregate([([], "count_all")]).rename_columns([*columns, "rows"])


def _example(row: dict[str, Any], before: Path, after: Path) -> dict[str, Any]:
    folder, split, place = (
        (after, row["to"], row["row_after"]) if row["to"] else (before, row["from"], row["row_before"])
    )
    (texts,) = parquet.take(folder / f"{split}.parquet", [place])
    return {
        "change": row["change"],
        "before": row["from"] and f"{row['from']} {row['row_before']}",
        "after": row["to"] and f"{row['to']} {row['row_after']}",
        "label_before": row["label_before"],
        "label_after": row["label_after"],
        **dict(zip(("text", "text_pair"), texts, strict=False)),
    }
