"""The user's own rows: data/own/NAME/{train,validation,test}.{csv,tsv,jsonl,parquet}.

Columns text, [text_pair,] label. A label is a word, a whole number (both are classes) or a number with a
fraction (then the task is a regression). The parsers here are strict where pandas and datasets guess: `NA` is
a text, a row with too many fields is an error and not a shifted row.
"""

import codecs
import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refit.errors import DataError
from refit.sources.loaded import HIDDEN, Loaded
from refit.storage import files

SPLITS = ("train", "validation", "test")
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
COLUMNS = ("text", "text_pair", "label")
NOT_FINITE = ("nan", "inf", "-inf", "+inf", "infinity", "-infinity")
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")

Row = tuple[int, dict[str, Any]]


def load(folder: Path) -> Loaded:
    """Read and check every file of one task. Raises DataError with file, line and what is wrong there."""
    sources = _files(folder)
    tables = {split: _read(path, labelled=split != "test") for split, path in sources.items()}
    pairs = {"text_pair" in columns for columns in tables.values()}
    if len(pairs) > 1:
        has = [str(sources[split]) for split, columns in tables.items() if "text_pair" in columns]
        raise DataError(f"{', '.join(has)}: has a column text_pair, the other files have not; all must or none")
    names = {split: columns["label"] for split, columns in tables.items() if "label" in columns}
    is_regression = _is_regression(names, sources)
    if is_regression:
        labels: list[str] = []
    else:
        labels = _class_names(names, sources)
    index = {name: position for position, name in enumerate(labels)}
    splits = {}
    for split, columns in tables.items():
        given = columns.pop("label", None)
        rows = len(columns["text"])
        if given is None:
            label = pa.array(np.full(rows, HIDDEN), pa.float32() if is_regression else pa.int64())
        elif is_regression:
            label = pa.array([float(value) for value in given], pa.float32())
        else:
            label = pa.array([index[_class_name(value)] for value in given], pa.int64())
        splits[split] = pa.table(
            {**{name: pa.array(column, pa.string()) for name, column in columns.items()}, "label": label}
        )
    sums = {path.name: files.sha256(path) for path in sources.values()}
    return Loaded(
        splits=splits, labels=labels, problem_type="regression" if is_regression else "classification",
        revision="own files", files=sums,
    )  # fmt: skip


def read_rows(path: Path) -> Iterator[Row]:
    """(line, row) of a file, one at a time; its cells are not checked. Raises DataError where it is not readable."""
    readers = {".csv": _csv_rows, ".tsv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    return readers[path.suffix](path)


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        there = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
        raise DataError(
            f"{folder}: no such folder; put train.csv (columns text, label) there, "
            f"or choose one of: {', '.join(there) or 'none yet'}"
        )
    found: dict[str, Path] = {}
    for split in SPLITS:
        candidates = [folder / f"{split}{suffix}" for suffix in FORMATS if (folder / f"{split}{suffix}").is_file()]
        if len(candidates) > 1:
            raise DataError(f"{folder}: {' and '.join(path.name for path in candidates)} are both there; keep one")
        if candidates:
            found[split] = candidates[0]
    if "train" not in found:
        there = sorted(path.name for path in folder.iterdir())
        raise DataError(
            f"{folder}: no train file; need train with one of {', '.join(FORMATS)}; "
            f"found {', '.join(there) or 'nothing'}"
        )
    return found


def _read(path: Path, *, labelled: bool) -> dict[str, list[Any]]:
    """The columns of one file, every cell checked."""
    columns: dict[str, list[Any]] = {}
    wanted = ["text", "label"] if labelled else ["text"]
    for line, row in read_rows(path):
        if not columns:
            missing = [name for name in wanted if name not in row]
            if missing:
                raise DataError(
                    f"{path}: column {missing[0]!r} not found; columns are: {', '.join(map(str, row))}; "
                    "need text, label and, for pairs, text_pair"
                )
            columns = {name: [] for name in COLUMNS if name in row}
        for name, column in columns.items():
            if name not in row:
                raise DataError(f"{path} line {line}: {name} is missing")
            column.append(checked(path, line, name, row[name]))
        if "text_pair" in row and "text_pair" not in columns:
            raise DataError(f"{path} line {line}: has a text_pair, the lines above have not")
    if not columns:
        raise DataError(f"{path}: has no rows; need a header and at least one row")
    return columns


def checked(path: Path, line: int, name: str, value: Any) -> Any:
    """A cell that can be used. Raises DataError, naming its line, when it cannot."""
    if value is None or value == "":
        raise DataError(f"{path} line {line}: {name} is empty; fill it in or remove the row")
    if name == "label":
        if isinstance(value, float) and not np.isfinite(value):
            raise DataError(f"{path} line {line}: label is {value}; need a finite number")
        if not isinstance(value, str | int | float | bool):
            raise DataError(f"{path} line {line}: label is a {type(value).__name__}; need a word or a number")
        return value
    if not isinstance(value, str):
        raise DataError(f"{path} line {line}: {name} is {value!r} ({type(value).__name__}); need text")
    if not value.strip():
        raise DataError(f"{path} line {line}: {name} is blank; fill it in or remove the row")
    if "\0" in value:
        raise DataError(f"{path} line {line}: {name} has a NUL character; remove it")
    return value


def _lines(path: Path) -> Iterator[str]:
    """The decoded lines of a UTF-8 file, a byte order mark skipped. Raises DataError at the first bad byte."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path} line {number}: invalid UTF-8 byte 0x{line[error.start]:02x} at column {error.start + 1}; "
                    "convert the file to UTF-8"
                ) from None


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        repeated = sorted({name for name in header if header.count(name) > 1})
        if repeated:
            raise DataError(f"{path} line 1: column {repeated[0]!r} appears twice; rename one")
        start = reader.line_num + 1
        for fields in reader:
            if not fields:
                start = reader.line_num + 1
                continue
            if len(fields) != len(header):
                raise DataError(
                    f"{path} line {start}: {len(fields)} fields, the header has {len(header)}; "
                    f"quote texts that hold a {'tab' if delimiter != ',' else 'comma'}"
                )
            yield start, dict(zip(header, fields, strict=True))
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path} line {reader.line_num}: {error}; a quote inside a quoted text is written twice"
        ) from None


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path} line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise DataError(f'{path} line {number}: need an object like {{"text": ..., "label": ...}}')
        yield number, row


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        file = pq.ParquetFile(path)
        number = 0
        wanted = [name for name in file.schema_arrow.names if name in COLUMNS] or file.schema_arrow.names
        for batch in file.iter_batches(batch_size=10_000, columns=wanted):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]})") from None


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        try:
            return bool(np.isfinite(float(value))) and "_" not in value
        except ValueError:
            return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_regression(names: dict[str, list[Any]], sources: dict[str, Path]) -> bool:
    """Numbers of which at least one is written with a fraction part are values to predict, not classes."""
    everything = [value for column in names.values() for value in column]
    if all(
        isinstance(value, int) or (isinstance(value, str) and WHOLE_NUMBER.fullmatch(value)) for value in everything
    ):
        return False
    for split, column in names.items():
        for row, value in enumerate(column, start=1):
            if str(value).strip().lower() in NOT_FINITE and all(_is_number(v) for v in everything if v != value):
                raise DataError(
                    f"{sources[split]} row {row}: label is {value}, the others are numbers; need a finite number"
                )
    numbers = sum(_is_number(value) for value in everything)
    if numbers == len(everything):
        return True
    if any(isinstance(value, float) for value in everything):
        split, value = next((s, v) for s, column in names.items() for v in column if not _is_number(v))
        raise DataError(f"{sources[split]}: label {value!r} is a word, others are numbers with fractions; use one kind")
    return False


def _class_name(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _class_names(names: dict[str, list[Any]], sources: dict[str, Path]) -> list[str]:
    seen = {split: {_class_name(value) for value in column} for split, column in names.items()}
    train = seen["train"]
    for split, classes in seen.items():
        unknown = sorted(classes - train)
        if unknown:
            rows = [i for i, value in enumerate(names[split], start=1) if _class_name(value) == unknown[0]]
            raise DataError(
                f"{sources[split]}: {len(rows)} rows have label {unknown[0]!r}, which train has not "
                f"(first at row {rows[0]}); add training rows or remove these"
            )
    if len(train) < 2:
        raise DataError(f"{sources['train']}: only one class {next(iter(train))!r}; need at least two")
    if all(WHOLE_NUMBER.fullmatch(name) for name in train):
        return sorted(train, key=int)
    return sorted(train)
