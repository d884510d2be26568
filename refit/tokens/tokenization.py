"""From raw parquet to token ids on disk, a batch at a time, with the engine's ids checked on the way."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refit import paths
from refit.errors import DataError
from refit.progress import bar
from refit.storage import arrow, files, manifest
from refit.tokens import encode
from refit.tokens.ahead import ahead
from refit.tokens.parity import CheckedEngine, EnginesDifferError

HEAVY_TRUNCATION = 0.1  # share of a split's rows from which on it is said
PACKED = 3  # bytes of text in a byte of parquet, or a few more
ROW_BYTES = 24  # of a row beside its tokens
CHECKED_ROWS = 256  # of a run at least, spread evenly; the odd rows of each batch come on top


def write(raw: Path, model: Path, max_length: int, target: Path) -> dict[str, Any]:
    """Tokenize every split of `raw` into `target`; returns rows, tokens and the engine that was used.

    Memory does not grow with the rows. Raises DataError when a raw file is not what task.json says, and DiskError
    before any work when there is no room.
    """
    task = manifest.read_record(raw / paths.TASK.name)
    manifest.check_model(model, ("config.json", "tokenizer.json", "tokenizer_config.json"))
    files.need_space(target.parent, _bytes_at_most(raw, task, max_length), "tokenizing")
    batches = _read(raw, task)
    engine, reference = encode.load(model, max_length)
    with files.replaced_folder(target) as folder:
        try:
            checked = CheckedEngine(engine, reference, stride=max(1, _rows(task) // CHECKED_ROWS))
            figures = _write(batches, task, checked, max_length, folder)
            used = engine().name
        except EnginesDifferError:
            print(
                f"tokenize: {engine().name} and the model's own tokenizer disagree on a row; all rows are encoded "
                "again by the model's own tokenizer, which is slower",
                file=sys.stderr,
            )
            figures = _write(_read(raw, task), task, reference, max_length, folder)
            used = reference.name
        manifest.write(folder, figures)
    for warning in truncation_warnings(figures, max_length):
        print(f"tokenize: {warning}", file=sys.stderr)
    tokens = sum(figure["tokens"] for figure in figures.values())
    return {"rows": sum(figure["rows"] for figure in figures.values()), "tokens": tokens, "engine": used}


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


@dataclass(frozen=True)
class Texts:
    """A batch of a split's raw rows, as the encoders take them."""

    split: str
    first: list[str]
    second: list[str] | None
    labels: pa.Array


def _rows(task: dict[str, Any]) -> int:
    return sum(split["rows"] for split in task["splits"].values())


def _bytes_at_most(raw: Path, task: dict[str, Any], max_length: int) -> int:
    """About how much will be written: a token is four bytes and stands for some four of text, a third compressed."""
    packed = sum(path.stat().st_size for path in raw.glob("*.parquet"))
    return min(PACKED * packed, 4 * max_length * _rows(task)) + ROW_BYTES * _rows(task)


def _read(raw: Path, task: dict[str, Any]) -> Iterator[Texts]:
    """The batches of every split, one being read ahead; the first of all while the tokenizer is loaded."""
    splits = task["splits"].items()
    return ahead(chain.from_iterable(_batches(split, raw / f"{split}.parquet", of["sha256"]) for split, of in splits))


def _batches(split: str, path: Path, sha256: str) -> Iterator[Texts]:
    try:
        manifest.check(path, sha256)
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=arrow.BATCH_ROWS):
                second = batch.column("text_pair").to_pylist() if "text_pair" in batch.schema.names else None
                yield Texts(split, batch.column("text").to_pylist(), second, batch.column("label"))
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}; remove data/raw and run: dvc repro") from None


def _write(
    batches: Iterator[Texts],
    task: dict[str, Any],
    engine: encode.Engine | CheckedEngine,
    max_length: int,
    folder: Path,
) -> dict[str, dict[str, int]]:
    columns = schema(is_pair=task["is_pair"], is_regression=task["problem_type"] == "regression")
    figures = {f"{split}.arrow": {"rows": 0, "tokens": 0, "at_max_length": 0} for split in task["splits"]}
    encodings = ahead((texts, engine.encode(texts.first, texts.second)) for texts in batches)
    with bar(total=_rows(task), desc="tokenize") as progress, ExitStack() as open_files:
        streams = {name: open_files.enter_context(arrow.writer(folder / name, columns)) for name in figures}
        for texts, encoded in encodings:
            name = f"{texts.split}.arrow"
            figure = figures[name]
            streams[name].write_batch(record_batch(encoded, texts.labels, figure["rows"], columns))
            figure["rows"] += len(encoded)
            figure["tokens"] += len(encoded.ids)
            figure["at_max_length"] += int((encoded.lengths == max_length).sum())
            progress.update(len(encoded))
    return figures
