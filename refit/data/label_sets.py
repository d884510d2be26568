"""The labels of a multi-label task: lists of label ids in parquet files, 0 or 1 for each label in memory."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def matrix(lists: pa.Array, labels: int) -> npt.NDArray[np.int8]:
    """The 0 or 1 of each label (rows, labels) of lists of label ids; hidden labels, -1, are 0."""
    found = np.zeros((len(lists), labels), np.int8)
    ids = lists.flatten().to_numpy()
    rows = np.repeat(np.arange(len(lists)), lists.value_lengths().to_numpy())
    found[rows[ids >= 0], ids[ids >= 0]] = 1
    return found


def lists(has_label: npt.NDArray[Any]) -> pa.Array:
    """The lists of label ids, in their order, of a matrix (rows, labels)."""
    rows, ids = np.nonzero(has_label)
    offsets = np.searchsorted(rows, np.arange(len(has_label) + 1))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(ids, pa.int64()))


def strata(column: pa.Array) -> npt.NDArray[Any]:
    """Values to divide rows by: the label, of several the rarest, -1 for none; zero for a regression."""
    if not pa.types.is_list(column.type):
        return np.zeros(len(column)) if pa.types.is_floating(column.type) else np.asarray(column.to_numpy())
    counts = np.bincount(column.flatten().to_numpy())
    return np.array([min(row, key=lambda label: (counts[label], label), default=-1) for row in column.to_pylist()])


def keys(column: pa.Array) -> npt.NDArray[Any]:
    """Values to compare the labels of rows by: the labels themselves, or texts of the ids of each list, like `0 3`."""
    if not pa.types.is_list(column.type):
        return np.asarray(column.to_numpy())
    return np.array([" ".join(map(str, ids)) for ids in column.to_pylist()], dtype=str)
