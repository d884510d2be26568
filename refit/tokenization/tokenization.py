"""The tokenize stage: raw parquet to token ids on disk, one batch at a time, checked against the model's tokenizer."""

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from refit import paths
from refit.data import label_sets, parquet
from refit.data.task_record import TaskRecord
from refit.errors import ParamsError
from refit.params import LongTexts
from refit.stage import bar
from refit.storage import arrow, files, manifest
from refit.tokenization import engines, parity_check
from refit.tokenization.long_texts import Cutter
from refit.tokenization.token_batch import Encoded, Offsets

Figures = dict[str, dict[str, int]]  # counts, by file
Encode = Callable[[list[str], list[str] | None], Encoded]

HEAVY_TRUNCATION = 0.1  # warn if a larger fraction of a split's rows reaches max_length
PACKED = 3  # bytes of text in a byte of parquet, approximately
ROW_BYTES = 48  # per row, without its tokens, at most
CHECKED_ROWS = 256  # compared per run at least, spread evenly; unusual rows of each batch are added


def write(raw: Path, model: Path, max_length: int, target: Path, long_texts: LongTexts = "head") -> dict[str, Any]:
    """Tokenize every split of `raw` into `target`; returns rows, tokens and the engine that was used.

    Memory does not grow with the number of rows. Raises DataError if a raw file differs from task.json, ParamsError for
    `long_texts` with pairs of texts, and DiskError, before any work, if there is not enough room.
    """
    task = TaskRecord.read(raw / paths.TASK.name)
    if task.is_pair and long_texts != "head":
        raise ParamsError(
            f"params.yaml long_texts: got {long_texts}, but the task {task.name} has pairs of texts; need head"
        )
    for split, record in task.splits.items():
        manifest.check(raw / f"{split}.parquet", record.sha256)
    manifest.check_model(model, ("config.json", "tokenizer.json", "tokenizer_config.json"))
    files.need_space(target.parent, _bytes_at_most(raw, task, max_length, long_texts), "tokenizing")
    engine, reference = engines.load(model, max_length, long_texts)
    cutter = Cutter.of(long_texts, reference)
    with files.replaced_folder(target) as folder:
        try:
            checked = partial(parity_check.encode, engine, reference, max(1, _rows(task) // CHECKED_ROWS))
            figures = _write_splits(folder, raw, task, checked, cutter)
        except parity_check.EnginesDifferError:
            print(
                f"tokenize: {engine.name} and the model's own tokenizer disagree on a row; all rows are encoded "
                "again by the model's own tokenizer, which is slower",
                file=sys.stderr,
            )
            engine = reference
            figures = _write_splits(folder, raw, task, reference.encode, cutter)
        manifest.write(folder, figures)
    rows, tokens, windows = (sum(of.get(unit, 0) for of in figures.values()) for unit in ("rows", "tokens", "windows"))
    if windows:
        print(f"tokenize: {rows:,} texts in {windows:,} windows of at most {max_length} tokens", file=sys.stderr)
    else:
        for warning in truncation_warnings(figures, max_length, long_texts, is_pair=task.is_pair):
            print(f"tokenize: {warning}", file=sys.stderr)
    return {"rows": rows, "tokens": tokens, "engine": engine.name}


def truncation_warnings(
    figures: Mapping[str, Mapping[str, int]], max_length: int, long_texts: LongTexts, *, is_pair: bool
) -> Iterator[str]:
    """A line for each split in which many texts are truncated; `figures` are the counts of each file."""
    what = "the middle of longer text" if long_texts == "head_tail" else "longer text"
    fix = "raise max_length to keep it" + ("" if is_pair else ", or set long_texts: windows")
    for name, of_file in figures.items():
        rows, full = of_file["rows"], of_file["at_max_length"]
        if full > rows * HEAVY_TRUNCATION:
            yield (
                f"{full:,} of {rows:,} rows of {name.removesuffix('.arrow')} ({full / rows:.0%}) reach max_length "
                f"{max_length}; {what} is dropped, {fix}"
            )


def record_batch(encoded: Encoded, labels: pa.Array, rows: Offsets, columns: pa.Schema) -> pa.RecordBatch:
    """A batch with the columns of arrow.schema; `rows` are the raw rows of its texts."""
    arrays = {
        "input_ids": pa.ListArray.from_arrays(pa.array(encoded.offsets, pa.int32()), pa.array(encoded.ids)),
        "label": _stored(labels, columns.field("label").type),
        "length": pa.array(encoded.lengths),
        "row": pa.array(rows.astype(np.int32)),
    }
    if encoded.first_lengths is not None:
        arrays["first_length"] = pa.array(encoded.first_lengths)
    return pa.record_batch([arrays[name] for name in columns.names], schema=columns)


def rows_of(encoded: Encoded, text: Offsets) -> arrow.Rows:
    """Rows in memory, to predict, with the index of each row's text; their labels, which are not known, are zero."""
    return arrow.Rows(
        buffers=[encoded.ids], buffer=np.zeros_like(text), begin=encoded.offsets[:-1], length=encoded.lengths,
        label=np.zeros_like(text), row=text, first_length=encoded.first_lengths,
    )  # fmt: skip


def _write_splits(folder: Path, raw: Path, task: TaskRecord, encode: Encode, cutter: Cutter) -> Figures:
    """Encode every batch and write it to its split's file; returns the counts of each file."""
    columns = arrow.schema(_label_type(task), is_pair=task.is_pair)
    figures: Figures = {}
    with bar(total=_rows(task), desc="tokenize") as progress:
        for split in task.splits:
            name = f"{split}.arrow"
            counts = figures[name] = {"rows": 0, "tokens": 0, "at_max_length": 0}
            with pa.ipc.new_stream(str(folder / name), columns) as stream:
                for batch in parquet.batches(raw / f"{split}.parquet", arrow.BATCH_ROWS):
                    pairs = batch["text_pair"].to_pylist() if task.is_pair else None
                    encoded, text = cutter.rows(encode(batch["text"].to_pylist(), pairs))
                    rows = counts["rows"] + text
                    stream.write_batch(record_batch(encoded, batch["label"].take(pa.array(text)), rows, columns))
                    counts["rows"] += batch.num_rows
                    counts["tokens"] += len(encoded.ids)
                    counts["at_max_length"] += int((encoded.lengths == cutter.max_length).sum())
                    if cutter.how == "windows":
                        counts["windows"] = counts.get("windows", 0) + len(encoded)
                    progress.update(batch.num_rows)
    return figures


def _label_type(task: TaskRecord) -> pa.DataType:
    if task.is_multi_label:
        return pa.list_(pa.int8(), len(task.labels))
    return pa.float32() if task.is_regression else pa.int64()


def _stored(labels: pa.Array, wanted: pa.DataType) -> pa.Array:
    if not pa.types.is_fixed_size_list(wanted):
        return labels.cast(wanted)
    has_label = label_sets.matrix(labels, wanted.list_size)
    return pa.FixedSizeListArray.from_arrays(pa.array(has_label.ravel()), wanted.list_size)


def _rows(task: TaskRecord) -> int:
    return sum(split.rows for split in task.splits.values())


def _bytes_at_most(raw: Path, task: TaskRecord, max_length: int, long_texts: LongTexts) -> int:
    """Upper estimate of the output: a token takes four bytes, about as much as its text, which parquet compresses.

    Overlapping windows have up to twice the tokens of their text.
    """
    packed = PACKED * sum(path.stat().st_size for path in raw.glob("*.parquet"))
    tokens = 2 * packed if long_texts == "windows" else min(packed, 4 * max_length * _rows(task))
    return tokens + ROW_BYTES * _rows(task)
