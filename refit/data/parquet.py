"""The one reader of parquet files between stages (data/raw, metrics/): in batches, or single rows."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refit.storage.files import damaged


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A parquet file to read from. Raises DataError if it is missing or damaged."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except FileNotFoundError:
        raise damaged(path, "is missing") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged(path, f"is not readable ({str(error).splitlines()[0]})") from None


def batches(path: Path, size: int = 8_192) -> Iterator[pa.RecordBatch]:
    """The rows of a file in batches of `size`. Raises DataError if the file is missing or damaged."""
    with opened(path) as file:
        yield from file.iter_batches(batch_size=size)


def take(path: Path, rows: Iterable[int]) -> list[tuple[str, ...]]:
    """The (text,) or (text, text_pair) of each given row of a split's file, in the given order.

    Reads only the row groups that contain them. Raises DataError if the file is missing or damaged.
    """
    wanted = np.fromiter(rows, np.int64)
    found: dict[int, tuple[str, ...]] = {}
    with opened(path) as file:
        columns = [name for name in ("text", "text_pair") if name in file.schema_arrow.names]
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        limits = np.cumsum([0, *sizes])
        groups = np.searchsorted(limits, wanted, side="right") - 1
        for group in np.unique(groups):
            chosen = np.unique(wanted[groups == group])
            part = file.read_row_group(int(group), columns=columns).take(chosen - limits[group])
            texts = zip(*(part[name].to_pylist() for name in columns), strict=True)
            found.update(zip(chosen.tolist(), texts, strict=True))
    return [found[int(row)] for row in wanted]
