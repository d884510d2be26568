"""The texts of data/raw batch by batch, each file checked against the hash that it was written with."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refit.errors import DataError
from refit.storage import arrow, manifest
from refit.tokens.ahead import ahead


@dataclass(frozen=True)
class Texts:
    """A batch of a split's raw rows, as the encoders take them."""

    split: str
    first: list[str]
    second: list[str] | None
    labels: pa.Array


def batches(raw: Path, task: dict[str, Any]) -> Iterator[Texts]:
    """The batches of every split, two being read ahead, and the first of all begun at once.

    Raises DataError before the first batch of a file that is not what task.json says.
    """
    splits = task["splits"].items()
    texts = chain.from_iterable(_of_split(split, raw / f"{split}.parquet", of["sha256"]) for split, of in splits)
    return ahead(texts, depth=2)


def _of_split(split: str, path: Path, sha256: str) -> Iterator[Texts]:
    with ThreadPoolExecutor(1) as beside:
        checked = beside.submit(manifest.check, path, sha256)
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=arrow.BATCH_ROWS):
                    checked.result()
                    second = batch.column("text_pair").to_pylist() if "text_pair" in batch.schema.names else None
                    yield Texts(split, batch.column("text").to_pylist(), second, batch.column("label"))
        except OSError:
            checked.result()  # that a file is missing, or not what was written, says more than why it cannot be read
            raise
        except pa.ArrowInvalid as error:
            checked.result()
            raise DataError(f"{path}: {str(error).splitlines()[0]}; remove data/raw and run: dvc repro") from None
