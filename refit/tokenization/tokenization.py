"""From raw parquet to token ids on disk, a batch at a time, with the engine's ids checked on the way."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from refit import paths
from refit.data.task_record import TaskRecord
from refit.progress import bar
from refit.storage import files, manifest
from refit.tokenization import engines, raw_batches
from refit.tokenization.parity_check import CheckedEngine, EnginesDifferError
from refit.tokenization.prefetch import ahead
from refit.tokenization.raw_batches import Texts
from refit.tokenization.token_batch import Encoded, Ids

Figures = dict[str, dict[str, int]]  # what was counted, by file

HEAVY_TRUNCATION = 0.1  # share of a split's rows from which on it is said
PACKED = 3  # bytes of text in a byte of parquet, or a few more
ROW_BYTES = 24  # of a row beside its tokens
CHECKED_ROWS = 256  # of a run at least, spread evenly; the odd rows of each batch come on top


def write(raw: Path, model: Path, max_length: int, target: Path) -> dict[str, Any]:
    """Tokenize every split of `raw` into `target`; returns rows, tokens and the engine that was used.

    Memory does not grow with the rows. Raises DataError when a raw file is not what task.json says, and DiskError
    before any work when there is no room.
    """
    task = TaskRecord.read(raw / paths.TASK.name)
    batches = raw_batches.batches(raw, task)
    manifest.check_model(model, ("config.json", "tokenizer.json", "tokenizer_config.json"))
    files.need_space(target.parent, _bytes_at_most(raw, task, max_length), "tokenizing")
    with files.replaced_folder(target) as folder, manifest.recorded(folder) as record:
        output = _Output(folder, task, max_length, record)
        figures, engine = _tokenized(batches, raw, model, output)  # it frees its tokenizers beside the last hash
    for warning in truncation_warnings(figures, max_length):
        print(f"tokenize: {warning}", file=sys.stderr)
    tokens = sum(figure["tokens"] for figure in figures.values())
    return {"rows": sum(figure["rows"] for figure in figures.values()), "tokens": tokens, "engine": engine}


def truncation_warnings(figures: Mapping[str, Mapping[str, int]], max_length: int) -> Iterator[str]:
    """A line for each split that loses the end of many texts; `figures` is what was counted, by file."""
    for name, of_file in figures.items():
        rows, full = of_file["rows"], of_file["at_max_length"]
        if full > rows * HEAVY_TRUNCATION:
            yield (
                f"{full:,} of {rows:,} rows of {name.removesuffix('.arrow')} ({full / rows:.0%}) reach max_length "
                f"{max_length}; longer text is dropped, raise max_length to keep it"
            )


def schema(*, is_pair: bool, is_regression: bool) -> pa.Schema:
    """The columns of a tokenized file."""
    fields = [
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("label", pa.float32() if is_regression else pa.int64()),
        pa.field("length", pa.int32()),
        pa.field("row", pa.int32()),
    ]
    return pa.schema([*fields, pa.field("first_length", pa.int32())] if is_pair else fields)


def record_batch(encoded: Encoded, labels: pa.Array, first_row: int, columns: pa.Schema) -> pa.RecordBatch:
    """One batch of rows, `first_row` being the raw row of its first; the ids are not copied."""
    label = columns.field("label").type
    arrays = {
        "input_ids": pa.ListArray.from_arrays(_column(encoded.offsets.astype(np.int32)), _column(encoded.ids)),
        "label": labels if labels.type == label else labels.cast(label),  # which imports pyarrow.compute
        "length": _column(encoded.lengths),
        "row": _column(np.arange(first_row, first_row + len(encoded), dtype=np.int32)),
    }
    if encoded.first_lengths is not None:
        arrays["first_length"] = _column(encoded.first_lengths)
    return pa.record_batch([arrays[name] for name in columns.names], schema=columns)


def _column(values: Ids) -> pa.Array:
    """As pa.array, which imports numpy.ma to ask whether these are masked."""
    plain = np.ascontiguousarray(values, np.int32)  # as it is already: no copy
    return pa.Array.from_buffers(pa.int32(), len(plain), [None, pa.py_buffer(plain)])


def _rows(task: TaskRecord) -> int:
    return sum(split.rows for split in task.splits.values())


def _bytes_at_most(raw: Path, task: TaskRecord, max_length: int) -> int:
    """About how much will be written: a token is four bytes and stands for some four of text, a third compressed."""
    packed = sum(path.stat().st_size for path in raw.glob("*.parquet"))
    return min(PACKED * packed, 4 * max_length * _rows(task)) + ROW_BYTES * _rows(task)


@dataclass(frozen=True)
class _Output:
    """The files of a task's splits, each recorded when it is whole."""

    folder: Path
    task: TaskRecord
    max_length: int
    record: Callable[[str, Mapping[str, Any], str], None]

    def write(self, batches: Iterator[tuple[Texts, Encoded]]) -> Figures:
        """Write every encoded batch; returns what was counted, by file."""
        columns = schema(is_pair=self.task.is_pair, is_regression=self.task.is_regression)
        figures: Figures = {}
        with bar(total=_rows(self.task), desc="tokenize") as progress:
            for split, of_split in groupby(ahead(batches), key=lambda batch: batch[0].split):
                name = f"{split}.arrow"
                figures[name] = {"rows": 0, "tokens": 0, "at_max_length": 0}
                path = self.folder / name
                with files.HashedFile(path) as file, pa.ipc.new_stream(file, columns) as stream:
                    for texts, encoded in of_split:
                        stream.write_batch(record_batch(encoded, texts.labels, figures[name]["rows"], columns))
                        figures[name]["rows"] += len(encoded)
                        figures[name]["tokens"] += len(encoded.ids)
                        figures[name]["at_max_length"] += int((encoded.lengths == self.max_length).sum())
                        progress.update(len(encoded))
                self.record(name, figures[name], file.sha256)
        return figures


def _tokenized(batches: Iterator[Texts], raw: Path, model: Path, output: _Output) -> tuple[Figures, str]:
    """Write the output with the fastest engine whose ids are right; returns the counts and that engine's name."""
    engine, reference = engines.load(model, output.max_length)
    checked = CheckedEngine(engine, reference, stride=max(1, _rows(output.task) // CHECKED_ROWS))
    try:
        return output.write(checked.encode_all(batches)), engine().name
    except EnginesDifferError:
        print(
            f"tokenize: {engine().name} and the model's own tokenizer disagree on a row; all rows are encoded "
            "again by the model's own tokenizer, which is slower",
            file=sys.stderr,
        )
        again = raw_batches.batches(raw, output.task)
        own = ((texts, reference.encode(texts.first, texts.second)) for texts in again)
        return output.write(own), reference.name
