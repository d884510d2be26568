"""Which rows a split gets where not chance alone decides: whole groups, the latest rows, or a fold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from refit.data import checks
from refit.errors import DataError

Column = npt.NDArray[Any]


def latest(table: pa.Table, wanted: int) -> Column:
    """Which rows are the latest by their `time`: about `wanted`, because equal times are not divided.

    Raises DataError if all times are equal.
    """
    times = table["time"].to_numpy()
    starts = np.unique(times)[1:]  # the possible first times of the latest rows
    if not len(starts):
        raise DataError("split_by: time: train has one time only, so no rows are the latest; use split_by: random")
    rows = len(times) - np.searchsorted(np.sort(times), starts)
    return np.asarray(times >= starts[np.argmin(np.abs(rows - wanted))])


def parts(table: pa.Table, sizes: Sequence[int], seed: int, *, stratified: bool) -> Column:
    """The part of each row; the parts have about `sizes` rows, or rows in this proportion, and none is empty.

    Rows with the same text or `group` stay together; with `stratified`, each part has its share of each label. This is
    scikit-learn's StratifiedGroupKFold for parts of any size: pieces of rows that stay together are assigned, the
    largest first, to the part for which Σ (rows - due)² / due, over all rows and those of each label, remains lowest.
    Raises DataError if there are fewer pieces than parts.
    """
    piece_of = _pieces(table)
    rows_of = np.bincount(piece_of)
    if len(rows_of) < len(sizes):
        raise DataError(
            f"{table.num_rows:,} rows cannot be divided into {len(sizes)} splits or folds: equal texts and groups stay "
            f"together, which leaves {len(rows_of)}; give more rows, or set fewer folds"
        )
    labels = np.unique(table["label"].to_numpy(), return_inverse=True)[1] if stratified else np.zeros_like(piece_of)
    columns = np.concatenate([np.zeros_like(labels), labels + 1])  # all rows, then those of each label
    counts = coo_array((np.ones(len(columns)), (np.tile(piece_of, 2), columns))).tocsr()
    due = np.outer(np.array(sizes) / sum(sizes), counts.sum(axis=0))
    taken, part_of = np.zeros_like(due), np.zeros_like(rows_of)
    order = np.random.default_rng(seed).permutation(len(rows_of))
    order = order[np.argsort(-rows_of[order], kind="stable")]
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
    from scipy.sparse import coo_array

    texts = np.unique(checks.hashed(table.to_batches(), labelled=False).hashes, return_inverse=True)[1]
    if "group" not in table.column_names:
        return texts
    groups = table["group"].combine_chunks().dictionary_encode().indices.to_numpy() + texts.max() + 1
    size = groups.max() + 1
    edges = coo_array((np.ones(len(texts)), (texts, groups)), shape=(size, size))
    return np.asarray(connected_components(edges, directed=False)[1][texts])
