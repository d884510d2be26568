"""The tokenize stage: raw parquet to token ids on disk, one batch at a time, checked against the model's tokenizer."""

import sys
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from refit import paths
from refit.data.task_record import TaskRecord
from refit.stage import bar
from refit.storage import arrow, files, manifest
from refit.tokenization import engines, raw_batches
from refit.tokenization.engines import Engine
from refit.tokenization.parity_check import CheckedEngine, EnginesDifferError
from refit.tokenization.token_batch import Encoded

Figures = dict[str, dict[str, int]]  # counts, by file

HEAVY_TRUNCATION = 0.1  # warn if a larger fraction of a split's rows reaches max_length
PACKED = 3  # bytes of text in a byte of parquet, or a few more
ROW_BYTES = 24  # of a row, without its tokens
CHECKED_ROWS = 256  # of a run at least, spread evenly; unusual rows of each batch are added


def write(raw: Path, model: Path, max_length: int, target: Path) -> dict[str, Any]:
    """Tokenize every split of `raw` into `target`; returns rows, tokens and the engine that was used.

    Memory does not grow with the rows. Raises DataError when a raw file differs from task.json, and DiskError
    before any work when there is no room.
    """
    task = TaskRecord.read(raw / paths.TASK.name)
    manifest.check_model(model, ("config.json", "tokenizer.json", "tokenizer_config.json"))
    files.need_space(target.parent, _bytes_at_most(raw, task, max_length), "tokenizing")
    engine, reference = engines.load(model, max_length)
    with files.replaced_folder(target) as folder:
        try:
            checked = CheckedEngine(engine, reference, stride=max(1, _rows(task) // CHECKED_ROWS))
            figures = _write_splits(folder, raw, task, checked, max_length)
        except EnginesDifferError:
            print(
                f"tokenize: {engine.name} and the model's own tokenizer disagree on a row; all rows are encoded "
                "again by the model's own tokenizer, which is slower",
                file=sys.stderr,
            )
            engine = reference
            figures = _write_splits(folder, raw, task, reference, max_length)
        manifest.write(folder, figures)
    for warning in truncation_warnings(figures, max_length):
        print(f"tokenize: {warning}", file=sys.stderr)
    tokens = sum(of_file["tokens"] for of_file in figures.values())
    return {"rows": sum(of_file["rows"] for of_file in figures.values()), "tokens": tokens, "engine": engine.name}


def truncation_warnings(figures: Mapping[str, Mapping[str, int]], max_length: int) -> Iterator[str]:
    """A line for each split in which many texts are truncated; `figures` are the counts of each file."""
    for name, of_file in figures.items():
        rows, full = of_file["rows"], of_file["at_max_length"]
        if full > rows * HEAVY_TRUNCATION:
            yield (
                f"{full:,} of {rows:,} rows of {name.removesuffix('.arrow')} ({full / rows:.0%}) reach max_length "
                f"{max_length}; longer text is dropped, raise max_length to keep it"
            )


def record_batch(encoded: Encoded, labels: pa.Array, first_row: int, columns: pa.Schema) -> pa.RecordBatch:
    """One batch with the given columns (refit/storage/arrow.py); `first_row` is the row of its first text."""
    arrays = {
        "input_ids": pa.ListArray.from_arrays(pa.array(encoded.offsets, pa.int32()), pa.array(encoded.ids)),
        "label": labels.cast(columns.field("label").type),
        "length": pa.array(encoded.lengths),
        "row": pa.array(np.arange(first_row, first_row + len(encoded), dtype=np.int32)),
    }
    if encoded.first_lengths is not None:
        arrays["first_length"] = pa.array(encoded.first_lengths)
    return pa.record_batch([arrays[name] for name in columns.names], schema=columns)


def rows_of(encoded: Encoded) -> arrow.Rows:
    """Encoded texts as rows in memory, to predict; they have no labels, so these are zero."""
    length = encoded.lengths
    return arrow.Rows(
        parts=[(encoded.ids, encoded.offsets)], starts=np.array([0, len(encoded)]), position=np.arange(len(encoded)),
        length=length, label=np.zeros(len(encoded), np.int64), row=np.arange(len(encoded), dtype=np.int32),
        first_length=encoded.first_lengths,
    )  # fmt: skip


def _write_splits(folder: Path, raw: Path, task: TaskRecord, engine: Engine, max_length: int) -> Figures:
    """Encode every batch and write it to its split's file; returns the counts of each file."""
    columns = arrow.schema(is_pair=task.is_pair, is_regression=task.is_regression)
    figures: Figures = {}
    with bar(total=_rows(task), desc="tokenize") as progress:
        for split, of_split in groupby(raw_batches.batches(raw, task), key=lambda texts: texts.split):
            name = f"{split}.arrow"
            counts = figures[name] = {"rows": 0, "tokens": 0, "at_max_length": 0}
            with pa.ipc.new_stream(str(folder / name), columns) as stream:
                for texts in of_split:
                    encoded = engine.encode(texts.first, texts.second)
                    stream.write_batch(record_batch(encoded, texts.labels, counts["rows"], columns))
                    counts["rows"] += len(encoded)
                    counts["tokens"] += len(encoded.ids)
                    counts["at_max_length"] += int((encoded.lengths == max_length).sum())
                    progress.update(len(encoded))
    return figures


def _rows(task: TaskRecord) -> int:
    return sum(split.rows for split in task.splits.values())


def _bytes_at_most(raw: Path, task: TaskRecord, max_length: int) -> int:
    """About how much will be written: a token takes four bytes for some four of text, which parquet compresses."""
    packed = sum(path.stat().st_size for path in raw.glob("*.parquet"))
    return min(PACKED * packed, 4 * max_length * _rows(task)) + ROW_BYTES * _rows(task)
