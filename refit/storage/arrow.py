"""Token ids on disk: Arrow IPC streams, written batch by batch and read by memory map.

Columns: input_ids (list<int32>: truncated, not padded), label (int64, or float32 for regression), length (int32),
row (int32: the row in data/raw), and for pairs first_length (int32: how many ids have token type 0). What can be
recomputed cheaply is not stored. `datasets.Dataset.from_file` opens these files too.
"""

import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from refit.errors import DataError

BATCH_ROWS = 8_192


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Refuse pandas, and leave everything else to the finders that come next."""
        if fullname == "pandas":
            raise ModuleNotFoundError(name=fullname)


def _settle_pandas() -> None:
    """Have pyarrow find no pandas: it imports it at its first array if it can, which takes a quarter of a second."""
    refusing = _NoPandas()
    sys.meta_path.insert(0, refusing)
    pa.array([])
    sys.meta_path.remove(refusing)


_settle_pandas()


def open_batches(path: Path) -> list[pa.RecordBatch]:
    """The record batches of a file, memory-mapped: no row is read until it is used. Raises DataError when damaged."""
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            return list(stream)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{path}: not a readable Arrow file ({str(error).splitlines()[0]}); run: dvc repro --force"
        ) from None


class Rows:
    """The rows of a tokenized file, or some of them in some order, as columns of numpy arrays.

    Only `input_ids` stays on disk; the columns of one number a row are in memory (20 bytes a row).
    """

    def __init__(self, batches: Sequence[pa.RecordBatch], order: npt.NDArray[np.int64] | None = None) -> None:
        self._batches = list(batches)
        self._starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
        self._ids = [(column.values.to_numpy(), column.offsets.to_numpy()) for column in self._lists()]
        rows = int(self._starts[-1])
        self._order = np.arange(rows) if order is None else order
        self.length = self._column("length")
        self.label = self._column("label")
        self.row = self._column("row")
        self.first_length = (
            self._column("first_length") if batches and "first_length" in batches[0].schema.names else None
        )

    @classmethod
    def read(cls, path: Path) -> "Rows":
        """Open a file. Raises DataError when it cannot be read."""
        return cls(open_batches(path))

    def __len__(self) -> int:
        return len(self._order)

    def ids(self, index: int) -> npt.NDArray[np.int32]:
        """The token ids of one row, without copying them."""
        position = int(self._order[index])
        batch = int(np.searchsorted(self._starts, position, side="right")) - 1
        values, offsets = self._ids[batch]
        local = position - int(self._starts[batch])
        ids: npt.NDArray[np.int32] = values[offsets[local] : offsets[local + 1]]
        return ids

    def take(self, indices: npt.NDArray[np.int64]) -> "Rows":
        """A view of the given rows in the given order."""
        return Rows(self._batches, self._order[indices])

    def _lists(self) -> Iterator[pa.ListArray]:
        return (batch.column("input_ids") for batch in self._batches)

    def _column(self, name: str) -> npt.NDArray[np.int64]:
        parts = [batch.column(name).to_numpy() for batch in self._batches]
        whole: npt.NDArray[np.int64] = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return whole[self._order]
