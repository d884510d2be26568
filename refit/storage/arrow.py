"""Token ids on disk: Arrow IPC streams, written batch by batch and read by memory map.

Columns: input_ids (list<int32>: truncated, not padded), label (int64, or float32 for regression), length (int32),
row (int32: the row in data/raw), and for pairs first_length (int32: the number of ids with token type 0). What can be
recomputed cheaply is not stored. `datasets.Dataset.from_file` opens these files, too.
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


def schema(*, is_pair: bool, is_regression: bool) -> pa.Schema:
    """The columns of a tokenized file."""
    fields = [
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("label", pa.float32() if is_regression else pa.int64()),
        pa.field("length", pa.int32()),
        pa.field("row", pa.int32()),
    ]
    return pa.schema([*fields, pa.field("first_length", pa.int32())] if is_pair else fields)


def open_batches(path: Path) -> list[pa.RecordBatch]:
    """The record batches of a file, memory-mapped: a row is read when it is used. Raises DataError if damaged."""
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            return list(stream)
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged(path, f"is not a readable Arrow file ({str(error).splitlines()[0]})") from None


@dataclass(frozen=True, eq=False)
class Rows:
    """Tokenized examples, all of a file or a selection of them, as numpy arrays.

    The token ids stay on disk; the other columns, one number per row, are in memory (28 bytes a row). `parts` are the
    token ids and row offsets of each record batch, `starts` is the first row of each batch, and `position` is the
    index of each selected row among the rows of all batches.
    """

    parts: Sequence[tuple[npt.NDArray[np.int32], Ints]]
    starts: Ints
    position: Ints
    length: Ints
    label: Ints
    row: Ints
    first_length: Ints | None

    @classmethod
    def read(cls, path: Path) -> "Rows":
        """Open a file. Raises DataError when it cannot be read."""
        return cls.of_batches(open_batches(path))

    @classmethod
    def of_batches(cls, batches: Sequence[pa.RecordBatch]) -> "Rows":
        """The rows of record batches with the columns of `schema`, without copying the token ids."""
        lists = [batch.column("input_ids") for batch in batches]

        def column(name: str) -> Ints:
            values = [batch.column(name).to_numpy() for batch in batches]
            return np.concatenate(values) if values else np.empty(0, np.int64)

        def column_or_none(name: str) -> Ints | None:
            return column(name) if batches and name in batches[0].schema.names else None

        return cls(
            parts=[(part.values.to_numpy(), part.offsets.to_numpy()) for part in lists],
            starts=np.cumsum([0, *map(len, lists)]), position=np.arange(sum(map(len, lists))),
            length=column("length"), label=column("label"), row=column("row"),
            first_length=column_or_none("first_length"),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.position)

    def ids(self, index: int) -> npt.NDArray[np.int32]:
        """The token ids of one row, without copying them."""
        position = int(self.position[index])
        part = int(np.searchsorted(self.starts, position, side="right")) - 1
        values, offsets = self.parts[part]
        place = position - int(self.starts[part])
        return values[offsets[place] : offsets[place + 1]]

    def take(self, indices: npt.NDArray[np.int64]) -> "Rows":
        """The given rows in the given order."""
        first_length = None if self.first_length is None else self.first_length[indices]
        return replace(
            self, position=self.position[indices], length=self.length[indices], label=self.label[indices],
            row=self.row[indices], first_length=first_length,
        )  # fmt: skip
