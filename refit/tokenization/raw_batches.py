"""The texts of data/raw in batches, after each file was checked against the hash that it was written with."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from refit.data import parquet
from refit.data.task_record import TaskRecord
from refit.storage import arrow, manifest
from refit.tokenization.prefetch import prefetched


@dataclass(frozen=True)
class Texts:
    """A batch of a split's raw rows, as the encoders take them."""

    split: str
    first: list[str]
    second: list[str] | None
    labels: pa.Array


def batches(raw: Path, task: TaskRecord) -> Iterator[Texts]:
    """The batches of every split. Raises DataError, before the first, for a file that differs from task.json."""
    for split, record in task.splits.items():
        manifest.check(raw / f"{split}.parquet", record.sha256)
    return prefetched(_read(raw, task))


def _read(raw: Path, task: TaskRecord) -> Iterator[Texts]:
    for split in task.splits:
        with parquet.opened(raw / f"{split}.parquet") as file:
            for batch in file.iter_batches(batch_size=arrow.BATCH_ROWS):
                second = batch.column("text_pair").to_pylist() if task.is_pair else None
                yield Texts(split, batch.column("text").to_pylist(), second, batch.column("label"))
