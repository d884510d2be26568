"""The texts of data/raw batch by batch, each file checked against the hash that it was written with."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from refit.data.task_record import TaskRecord
from refit.errors import DataError
from refit.storage import arrow, manifest
from refit.tokenization.prefetch import ahead


@dataclass(frozen=True)
class Texts:
    """A batch of a split's raw rows, as the encoders take them."""

    split: str
    first: list[str]
    second: list[str] | None
    labels: pa.Array


def batches(raw: Path, task: TaskRecord) -> Iterator[Texts]:
    """The batches of every split, two being read ahead, and the first of all begun at once.

    Raises DataError for a file that is not what task.json says, at the latest before its first batch.
    """
    hashing = ThreadPoolExecutor(1)
    splits = []
    for split, recorded in task.splits.items():
        path = raw / f"{split}.parquet"
        checked = hashing.submit(manifest.check, path, recorded.sha256)
        with _blamed(path, checked):
            file = pq.ParquetFile(path)  # here: the first decoding begins before a tokenizer's loading holds the lock
        splits.append(_of_split(split, path, file, checked))
    hashing.shutdown(wait=False)
    return ahead(chain.from_iterable(splits), depth=2)


def _of_split(split: str, path: Path, file: pq.ParquetFile, checked: Future[None]) -> Iterator[Texts]:
    with file, _blamed(path, checked):
        for batch in file.iter_batches(batch_size=arrow.BATCH_ROWS):
            checked.result()
            second = batch.column("text_pair").to_pylist() if "text_pair" in batch.schema.names else None
            yield Texts(split, batch.column("text").to_pylist(), second, batch.column("label"))


@contextmanager
def _blamed(path: Path, checked: Future[None]) -> Iterator[None]:
    """That a file is missing, or not what was written, is said before why it cannot be read."""
    try:
        yield
    except OSError:
        checked.result()
        raise
    except pa.ArrowInvalid as error:
        checked.result()
        raise DataError(f"{path}: {str(error).splitlines()[0]}; remove data/raw and run: dvc repro") from None
