"""From raw parquet to token ids on disk, a batch at a time, with the engine's ids checked on the way."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refit import arrow, encode, files, manifest, paths
from refit.errors import DataError
from refit.progress import bar

HEAVY_TRUNCATION = 0.1  # share of a split's rows from which on it is said
CHECKED_ROWS = 256  # of a run at least, spread evenly; the odd rows of each batch come on top


class EnginesDifferError(Exception):
    """The fast engine gave other ids than the model's own tokenizer."""


def write(raw: Path, model: Path, max_length: int, target: Path) -> dict[str, Any]:
    """Tokenize every split of `raw` into `target`; returns rows, tokens and the engine that was used.

    Memory does not grow with the rows. Raises DataError when a raw file is not what task.json says.
    """
    task = manifest.read_record(raw / paths.TASK.name)
    manifest.check_model(model, ("config.json", "tokenizer.json", "tokenizer_config.json"))
    engine, reference = encode.load(model, max_length)
    with files.replaced_folder(target) as folder:
        try:
            figures = _write_splits(raw, task, engine, reference, max_length, folder)
        except EnginesDifferError as error:
            print(
                f"tokenize: {engine.name} and the model's own tokenizer disagree on {error}; all rows are encoded "
                "again by the model's own tokenizer, which is slower",
                file=sys.stderr,
            )
            engine = reference
            figures = _write_splits(raw, task, engine, reference, max_length, folder)
        manifest.write(folder, figures)
    for warning in truncation_warnings(figures, max_length):
        print(f"tokenize: {warning}", file=sys.stderr)
    tokens = sum(figure["tokens"] for figure in figures.values())
    return {"rows": sum(figure["rows"] for figure in figures.values()), "tokens": tokens, "engine": engine.name}


def truncation_warnings(figures: Mapping[str, Mapping[str, int]], max_length: int) -> Iterator[str]:
    """A line for each split that loses the end of many texts; `figures` is what was counted, by file."""
    for name, of_file in figures.items():
        rows, full = of_file["rows"], of_file["at_max_length"]
        if full > rows * HEAVY_TRUNCATION:
            yield (
                f"{full:,} of {rows:,} rows of {name.removesuffix('.arrow')} ({full / rows:.0%}) fill max_length "
                f"{max_length} and are cut there if longer; raise max_length to keep them whole"
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


def record_batch(encoded: encode.Encoded, labels: pa.Array, first_row: int, columns: pa.Schema) -> pa.RecordBatch:
    """One batch of rows, `first_row` being the raw row of its first; the ids are not copied."""
    arrays = {
        "input_ids": pa.ListArray.from_arrays(pa.array(encoded.offsets.astype(np.int32)), pa.array(encoded.ids)),
        "label": labels.cast(columns.field("label").type),
        "length": pa.array(encoded.lengths),
        "row": pa.array(np.arange(first_row, first_row + len(encoded), dtype=np.int32)),
    }
    if encoded.first_lengths is not None:
        arrays["first_length"] = pa.array(encoded.first_lengths)
    return pa.record_batch([arrays[name] for name in columns.names], schema=columns)


def _write_splits(
    raw: Path, task: dict[str, Any], engine: encode.Engine, reference: encode.Reference, max_length: int, folder: Path
) -> dict[str, dict[str, int]]:
    columns = schema(is_pair=task["is_pair"], is_regression=task["problem_type"] == "regression")
    rows = sum(split["rows"] for split in task["splits"].values())
    stride = max(1, rows // CHECKED_ROWS)
    figures = {}
    with bar(total=rows, desc="tokenize") as progress:
        for split, expected in task["splits"].items():
            path = raw / f"{split}.parquet"
            written = tokens = full = 0
            with arrow.writer(folder / f"{split}.arrow", columns) as stream:
                for batch in _raw_batches(path, expected):
                    encoded = _encode_batch(batch, engine, reference, stride, f"{path} row {written}")
                    stream.write_batch(record_batch(encoded, batch.column("label"), written, columns))
                    written += len(encoded)
                    tokens += len(encoded.ids)
                    full += int((encoded.lengths == max_length).sum())
                    progress.update(len(encoded))
            figures[f"{split}.arrow"] = {"rows": written, "tokens": tokens, "at_max_length": full}
    return figures


def _raw_batches(path: Path, expected: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    try:
        manifest.check(path, expected["sha256"])
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=arrow.BATCH_ROWS)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}; remove data/raw and run: dvc repro") from None


def _encode_batch(
    batch: pa.RecordBatch, engine: encode.Engine, reference: encode.Reference, stride: int, where: str
) -> encode.Encoded:
    texts = batch.column("text").to_pylist()
    pairs = batch.column("text_pair").to_pylist() if "text_pair" in batch.schema.names else None
    encoded = engine.encode(texts, pairs)
    if engine is not reference and not encode.agree(encoded, reference, texts, pairs, stride):
        raise EnginesDifferError(f"one of the rows from {where} on")
    return encoded
