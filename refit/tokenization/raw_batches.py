"""The texts of data/raw in batches; each file is checked against its recorded hash before the first batch."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from refit.data import parquet
from refit.data.task_record import TaskRecord
from refit.storage import arrow, manifest


@dataclass(frozen=True)
class Texts:
    """A batch of raw rows of one split, as the encoders take them; `second` is None for single texts."""

    split: str
    first: list[str]
    second: list[str] | None
    labels: pa.Array


def batches(raw: Path, task: TaskRecord) -> Iterator[Texts]:
    """The batches of every split, each read while the one before it is in use.

    Raises DataError, before the first batch, for a file that differs from task.json.
    """
    for split, record in task.splits.items():
        manifest.check(raw / f"{split}.parquet", record.sha256)
    return prefetched(_read(raw, task))


def prefetched(items: Iterator[Texts]) -> Iterator[Texts]:
    """The same batches in the same order; an error is raised where its batch would have come.

    Reading and encoding both release Python's lock; on two cores tokenizing takes about a tenth less time.
    """
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _read(raw: Path, task: TaskRecord) -> Iterator[Texts]:
    for split in task.splits:
        for batch in parquet.batches(raw / f"{split}.parquet", arrow.BATCH_ROWS):
            second = batch.column("text_pair").to_pylist() if task.is_pair else None
            yield Texts(split, batch.column("text").to_pylist(), second, batch.column("label"))
