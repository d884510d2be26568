"""What changed between the data of two revisions: rows added, removed, relabelled or moved to another split.

Rows are matched by content: texts and labels become 64-bit hashes (refit/data/checks.py), so that a million rows take
seconds. Both versions are multisets: of a text that occurs twice before and once after, one row is removed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from refit import paths
from refit.compare import runs
from refit.compare.output import Output
from refit.data import checks
from refit.data.checks import PAIR_FACTOR, Hashes
from refit.data.task_record import TaskRecord, in_order
from refit.errors import DataError
from refit.repo import Revision

UNCHANGED, ADDED, REMOVED, RELABELLED, MOVED = KINDS = ("unchanged", "added", "removed", "relabelled", "moved")
# What two rows with the same text must share to be a pair of this kind; pairs are found in this order.
PAIRED = ((UNCHANGED, ("label", "split")), (MOVED, ("label",)), (RELABELLED, ("split",)), (RELABELLED, ()))
SEPARATOR = " | "  # between the labels of a row with several
EXAMPLES = 3  # of each kind of change
MOST_LABELS = 20  # rows of the printed table of labels
OCCURRENCE_FACTOR = np.uint64(0xD6E8FEB86659FD93)  # odd, as PAIR_FACTOR, and another number


def compared(first: Revision, second: Revision) -> Output:
    """The differences between the data of two revisions; first the labels whose number of rows changed most.

    `value` has all as tables. rows: change, from, to (splits), rows. labels: label, before, after (rows with it).
    examples: change, from, to, row_before, row_after, label_before, label_after, text, [text_pair]. Raises NetworkError
    if a file cannot be fetched, DataError if it is damaged.
    """
    tasks = [runs.task_record(revision) for revision in (first, second)]
    before, after = (
        pa.concat_tables(read(revision, task, split) for split in in_order(task.splits))
        for revision, task in zip((first, second), tasks, strict=True)
    )
    found = pairs(before, after)
    rows, were, are = counted(found), _per_label(before, tasks[0]), _per_label(after, tasks[1])
    names = sorted(were | are, key=lambda of: (-abs(are.get(of, 0) - were.get(of, 0)), of))
    labels = [{"label": name, "before": were.get(name, 0), "after": are.get(name, 0)} for name in names]
    examples = [
        _example(row, first, second)
        for kind in KINDS[1:]
        for row in found.filter(pc.equal(found["change"], kind)).slice(0, EXAMPLES).to_pylist()
    ]
    said = f"{second.name} against {first.name}: {summary(rows)}."
    value = {"before": first.name, "after": second.name, "rows": rows, "labels": labels, "examples": examples}
    return Output("Data", [rows, labels[:MOST_LABELS], examples], [said], value)


def read(revision: Revision, task: TaskRecord, split: str) -> pa.Table:
    """The rows of a split: text (its hash), label (as text), split, row (in its file)."""
    path = paths.RAW / f"{split}.parquet"
    content = revision.from_dvc(path)
    if hashlib.sha256(content).hexdigest() != task.splits[split].sha256:
        raise DataError(f"{revision.name}: {path} is not the file that {paths.TASK} describes; run dvc repro")
    file = pq.ParquetFile(pa.BufferReader(content))
    texts = checks.hashed(file.iter_batches(), labelled=False).hashes
    labels = label_texts(file.read(["label"])["label"].combine_chunks(), task.labels)
    numbers = np.arange(len(texts))
    return pa.table({"text": texts, "label": labels, "split": pa.repeat(split, len(texts)), "row": numbers})


def label_texts(labels: pa.Array, names: Sequence[str]) -> pa.Array:
    """Labels as texts, by which they are compared: two versions may number the classes differently.

    `labels` are numbers, class ids (-1: hidden), or lists of class ids in ascending order (multi-label).
    """
    if pa.types.is_floating(labels.type):
        return labels.cast(pa.string())
    named = [*names, "(hidden)"]
    if pa.types.is_list(labels.type):
        return pa.array([SEPARATOR.join(named[label] for label in row) or "(none)" for row in labels.to_pylist()])
    return pa.array(named).take(pa.array(labels.to_numpy() % len(named)))


def keys(rows: pa.Table, columns: Sequence[str]) -> Hashes:
    """A hash of each row's text and some of its other columns; where rows are equal, also of their number."""
    found: Hashes = rows["text"].to_numpy()
    for name in columns:
        coded = rows[name].combine_chunks().dictionary_encode()
        values = [xxhash.xxh3_64_intdigest(value.encode()) for value in coded.dictionary.to_pylist()]
        found = found * PAIR_FACTOR + np.array(values, np.uint64)[coded.indices.to_numpy()]
    order = np.argsort(found, kind="stable")
    ordered = found[order]
    number = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    different = np.empty_like(found)
    different[order] = ordered + number.astype(np.uint64) * OCCURRENCE_FACTOR
    return different


def pairs(before: pa.Table, after: pa.Table) -> pa.Table:
    """The kind of change of each row, and its split, row and label before and after, null where it does not exist."""
    left, right, parts = np.arange(len(before)), np.arange(len(after)), []
    for kind, columns in PAIRED:
        sides = keys(before.take(left), columns), keys(after.take(right), columns)
        _, one, other = np.intersect1d(*sides, assume_unique=True, return_indices=True)
        order = np.argsort(one)
        parts.append(_joined(kind, before.take(left[one[order]]), after.take(right[other[order]])))
        left, right = np.delete(left, one), np.delete(right, other)
    parts.append(_joined(REMOVED, before.take(left), after.take(pa.nulls(len(left), pa.int64()))))
    parts.append(_joined(ADDED, before.take(pa.nulls(len(right), pa.int64())), after.take(right)))
    return pa.concat_tables(parts)


def counted(found: pa.Table) -> list[dict[str, Any]]:
    """The number of rows of each change between two splits."""
    columns = ["change", "from", "to"]
    counts = found.group_by(columns, use_threads=False).aggregate([([], "count_all")])
    rows: list[dict[str, Any]] = counts.rename_columns([*columns, "rows"]).to_pylist()
    return rows


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Counted changes in words: `12 rows added, 1 row relabelled; 500 unchanged`."""
    totals = {kind: sum(row["rows"] for row in rows if row["change"] == kind) for kind in KINDS}
    changed = [f"{totals[kind]:,} row{'s' * (totals[kind] > 1)} {kind}" for kind in KINDS[1:] if totals[kind]]
    return f"{', '.join(changed) or 'the same rows, perhaps in another order'}; {totals[UNCHANGED]:,} unchanged"


def _joined(kind: str, before: pa.Table, after: pa.Table) -> pa.Table:
    """Pairs of rows side by side."""
    sides = {"from": before["split"], "to": after["split"], "row_before": before["row"], "row_after": after["row"]}
    labels = {"label_before": before["label"], "label_after": after["label"]}
    return pa.table({"change": pa.repeat(kind, len(before)), **sides, **labels})


def _per_label(rows: pa.Table, task: TaskRecord) -> dict[str, int]:
    """The number of rows with each label; none for a regression."""
    labels = rows["label"]
    if task.is_multi_label:
        labels = pc.list_flatten(pc.split_pattern(labels, SEPARATOR))
    counts = [] if task.is_regression else pc.value_counts(labels).to_pylist()
    return {of["values"]: of["counts"] for of in counts}


def _example(row: dict[str, Any], first: Revision, second: Revision) -> dict[str, Any]:
    of_after, of_before = (second, row["to"], row["row_after"]), (first, row["from"], row["row_before"])
    revision, split, place = of_after if row["to"] else of_before
    (texts,) = runs.texts(revision, split, pa.array([place]))
    return row | dict(zip(("text", "text_pair"), texts, strict=False))
