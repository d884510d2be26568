"""The examples of a task as every source returns them, and which of them are for validation and test."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from refit.data import checks, label_sets
from refit.data.task_record import ProblemType
from refit.errors import DataError

HIDDEN = -1  # the label of an example whose true label is not published

Column = npt.NDArray[Any]  # a value for each row


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The examples of a task, a table for each split.

    The columns are text (string), text_pair (string, for pairs only) and label (int64 index into `labels`, HIDDEN if it
    is not published; a list of these for multi-label; float32 for a regression). Where `split_by` names it, group
    (string) or time is the last column, until all splits are there. `revision` is the commit or version that was
    loaded, `files` the SHA-256 of each source file. `human` is what people score on the task, if that is known: who →
    score → value.
    """

    splits: dict[str, pa.Table]
    labels: list[str]
    problem_type: ProblemType
    revision: str
    files: dict[str, str] = field(default_factory=dict)
    human: dict[str, dict[str, float]] = field(default_factory=dict)


def is_hidden(table: pa.Table) -> bool:
    """Whether all labels are hidden; the hidden label of a regression is -1.0, of a multi-label task [-1]."""
    labels = table["label"].combine_chunks()
    values = labels.flatten() if pa.types.is_list(labels.type) else labels
    return bool(len(values) and np.all(values.to_numpy() == HIDDEN))


def by_hash(table: pa.Table, texts: Iterable[str]) -> dict[str, pa.Table]:
    """The splits by the hashes of `texts` (80% train, 10% validation, 10% test), so that none is in two of them."""
    tens = np.array([int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10 for text in texts])
    chosen = {"train": tens > 1, "validation": tens == 0, "test": tens == 1}
    return {split: table.filter(pa.array(rows)) for split, rows in chosen.items()}


def divided(table: pa.Table, chosen: Column) -> tuple[pa.Table, pa.Table]:
    """The other rows and the chosen rows, both in the table's order."""
    return table.filter(pa.array(~chosen)), table.filter(pa.array(chosen))


def at_random(table: pa.Table, wanted: int, seed: int) -> Column:
    """Which rows are held out by chance: about `wanted`.

    Rows with the same text stay together. Labels (of several, the rarest) are held out in proportion, and each keeps at
    least one text in the rest. The number of rows is exact unless repeated texts prevent it, and 0 if no text can be
    spared. The choice depends on `seed`, the labels and which texts are equal.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(table.num_rows)
    pieces, labels = _pieces(table)[order], label_sets.strata(table["label"].combine_chunks())[order]
    _, first, texts, sizes = np.unique(pieces, return_index=True, return_inverse=True, return_counts=True)
    _, kept, labels = np.unique(labels, return_index=True, return_inverse=True)
    can_be_held = np.ones(len(sizes), dtype=bool)
    can_be_held[texts[kept]] = False
    # Labels in random order; of each label the most repeated texts first, so that unique texts fill up the number.
    ranks = generator.permutation(len(kept))[labels[first]]
    candidates = np.lexsort((first, -sizes, ranks))
    candidates = candidates[can_be_held[candidates]]
    # Take a candidate whenever the rows due so far, less those taken, round up to its number of rows.
    available = int(sizes[candidates].sum())
    held = np.zeros(len(sizes), dtype=bool)
    due = 0  # in rows times `available`, to stay exact
    for text, size in zip(candidates.tolist(), sizes[candidates].tolist(), strict=True):
        due += wanted * size
        if 2 * due >= size * available:
            held[text] = True
            due -= size * available
    if not held.any():
        held[candidates[-1:]] = True
    chosen = np.zeros(table.num_rows, dtype=bool)
    chosen[order] = held[texts]
    return chosen


def latest(table: pa.Table, wanted: int) -> Column:
    """Which rows are the latest by their `time`: about `wanted`, because equal times stay together.

    Raises DataError if all times are equal.
    """
    times = table["time"].to_numpy()
    starts = np.unique(times)[1:]  # the possible first times of the latest rows
    if not len(starts):
        raise DataError("split_by: time: train has one time only, so no rows are the latest; use split_by: random")
    rows = len(times) - np.searchsorted(np.sort(times), starts)
    return np.asarray(times >= starts[np.argmin(np.abs(rows - wanted))])


def parts(table: pa.Table, sizes: Sequence[int], seed: int) -> Column:
    """The part of each row; the parts have about `sizes` rows, or rows in this proportion, and none is empty.

    Rows with the same text or `group` stay together, and each part has its share of each label. This is scikit-learn's
    StratifiedGroupKFold for parts of any size: pieces of rows that stay together are assigned, the largest first, to
    the part for which Σ (rows - due)² / due, over all rows and those of each label, remains lowest. Raises DataError if
    there are fewer pieces than parts.
    """
    piece_of = _pieces(table)
    rows_of = np.bincount(piece_of)
    if len(rows_of) < len(sizes):
        raise DataError(
            f"{table.num_rows:,} rows cannot be divided into {len(sizes)} splits or folds: equal texts and groups stay "
            f"together, which leaves {len(rows_of)}; give more rows, or set fewer folds"
        )
    labels = np.unique(label_sets.strata(table["label"].combine_chunks()), return_inverse=True)[1]
    columns = np.concatenate([np.zeros_like(labels), labels + 1])  # all rows, then those of each label
    counts = coo_array((np.ones(len(columns)), (np.tile(piece_of, 2), columns))).tocsr()
    due = np.outer(np.array(sizes) / sum(sizes), counts.sum(axis=0))
    taken, part_of = np.zeros_like(due), np.zeros_like(rows_of)
    order = np.random.default_rng(seed).permutation(len(rows_of))
    label_of = labels[np.unique(piece_of, return_index=True)[1]]  # of a piece's first row
    order = order[np.lexsort((label_of[order], -rows_of[order]))]  # label by label, so that single rows alternate
    for piece in order:
        inside = slice(counts.indptr[piece], counts.indptr[piece + 1])
        column, rows = counts.indices[inside], counts.data[inside]
        part_of[piece] = np.argmin((rows * (2 * taken[:, column] + rows) / due[:, column]).sum(axis=1))
        taken[part_of[piece], column] += rows
    for empty in set(range(len(sizes))) - set(part_of.tolist()):  # the smaller of two, less than half of every piece
        part_of[order[-1]] = empty
    return np.asarray(part_of[piece_of])


def _pieces(table: pa.Table) -> Column:
    """A number for each row, the same for rows with the same text or group, and for rows that others connect."""
    texts = np.unique(checks.hashed(table.to_batches(), labelled=False).hashes, return_inverse=True)[1]
    if "group" not in table.column_names:
        return texts
    groups = table["group"].combine_chunks().dictionary_encode().indices.to_numpy() + texts.max() + 1
    size = groups.max() + 1
    edges = coo_array((np.ones(len(texts)), (texts, groups)), shape=(size, size))
    return np.asarray(connected_components(edges, directed=False)[1][texts])
