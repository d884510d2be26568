"""Token ids on disk: Arrow IPC streams, written batch by batch and read by memory map.

Columns: input_ids (list<int32>: truncated, not padded), label (int64; float32 for regression; for multi-label 0 or 1
of each label, as a fixed-size list of int8), length (int32), row (int32: the row in data/raw), and for pairs
first_length (int32: the number of ids with token type 0). The windows of a text (`long_texts` in params.yaml) are
adjacent rows with the same `row`. What can be recomputed cheaply is not stored. `datasets.Dataset.from_file` opens
these files, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from refit.storage.files import damaged

BATCH_ROWS = 8_192

Ints = npt.NDArray[Any]


def schema(label: pa.DataType, *, is_pair: bool) -> pa.Schema:
    """The columns of a tokenized file, with labels of the given type."""
    fields = [("input_ids", pa.list_(pa.int32())), ("label", label), ("length", pa.int32()), ("row", pa.int32())]
    return pa.schema([*fields, ("first_length", pa.int32())] if is_pair else fields)


def open_batches(path: Path) -> list[pa.RecordBatch]:
    """The record batches of a file, memory-mapped: a row is read when it is used. Raises DataError if damaged."""
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            batches = list(stream)
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged(path, f"is not a readable Arrow file ({str(error).splitlines()[0]})") from None
    if not batches:
        raise damaged(path, "has no rows")
    return batches


def labels(batches: Sequence[pa.RecordBatch]) -> Ints:
    """The labels (rows), or for multi-label (rows, labels), of record batches."""
    columns = [batch.column("label") for batch in batches]
    if pa.types.is_fixed_size_list(columns[0].type):
        return np.concatenate([of.flatten().to_numpy().reshape(len(of), -1) for of in columns])
    return np.concatenate([of.to_numpy() for of in columns])


@dataclass(frozen=True, eq=False)
class Rows:
    """Tokenized examples, all of a file or a selection of them, as numpy arrays.

    The token ids of each record batch stay on disk, as `buffers`; the ids of row i are the `length[i]` ids from
    `begin[i]` on in `buffers[buffer[i]]`. The columns are in memory (28 bytes a row).
    """

    buffers: Sequence[npt.NDArray[np.int32]]
    buffer: Ints
    begin: Ints
    length: Ints
    label: Ints
    row: Ints
    first_length: Ints | None

    @classmethod
    def read(cls, path: Path) -> "Rows":
        """Open a file. Raises DataError if it cannot be read."""
        return cls.of_batches(open_batches(path))

    @classmethod
    def of_batches(cls, batches: Sequence[pa.RecordBatch]) -> "Rows":
        """The rows of one or more record batches with the columns of `schema`, without copying the token ids."""
        lists = [batch.column("input_ids") for batch in batches]

        def column(name: str) -> Ints:
            return np.concatenate([batch.column(name).to_numpy() for batch in batches])

        return cls(
            buffers=[part.values.to_numpy() for part in lists],
            buffer=np.repeat(np.arange(len(lists)), list(map(len, lists))),
            begin=np.concatenate([part.offsets.to_numpy()[:-1] for part in lists]),
            length=column("length"), label=labels(batches), row=column("row"),
            first_length=column("first_length") if "first_length" in batches[0].schema.names else None,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.row)

    def text_starts(self) -> Ints:
        """The index of each text's first row; a text in windows has several rows."""
        return np.flatnonzero(np.diff(self.row, prepend=-1))

    def texts(self) -> "Rows":
        """One row per text, for labels and counts: its first window, but with the length of all its windows."""
        starts = self.text_starts()
        if len(starts) == len(self):
            return self
        return replace(self.take(starts), length=np.add.reduceat(self.length, starts))

    def ids(self, index: int) -> npt.NDArray[np.int32]:
        """The token ids of one row, without copying them."""
        begin = int(self.begin[index])
        return self.buffers[int(self.buffer[index])][begin : begin + int(self.length[index])]

    def take(self, indices: npt.NDArray[np.int64]) -> "Rows":
        """The given rows in the given order."""
        columns = {name: column for name, column in vars(self).items() if name != "buffers" and column is not None}
        return replace(self, **{name: column[indices] for name, column in columns.items()})
