"""The user's own rows: data/own/NAME/{train,validation,test}.{csv,tsv,jsonl,parquet}.

Columns text, [text_pair,] label. A label is a word, a whole number (both are classes; 1.0 is a whole number, because
pandas writes integers so) or a number with a fraction (then the task is a regression). The parsers here are strict
where pandas and datasets guess: `NA` is a text, a row with too many fields is an error and not a shifted row.
"""

import codecs
import csv
import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refit.errors import DataError
from refit.sources.loaded import HIDDEN, Loaded
from refit.storage import files

SPLITS = {"train": ("train",), "validation": ("validation", "val", "dev", "valid"), "test": ("test",)}
FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
COLUMNS = ("text", "text_pair", "label")
NOT_FINITE = ("nan", "inf", "-inf", "+inf", "infinity", "-infinity")
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
LONGEST_LABEL = 500  # characters; a longer one is a text in the wrong column
LARGEST_LABEL = 1e18  # the square of a larger one overflows float32, and with it the loss

# What a file begins with that is not text in UTF-8, and how to save it as such.
NOT_TEXT = {
    codecs.BOM_UTF16_LE: "is in UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)",
    codecs.BOM_UTF16_BE: "is in UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)",
    b"PK\x03\x04": "is a zip archive or an Excel workbook; save it as CSV UTF-8",
    b"\x1f\x8b": "is compressed by gzip; unpack it",
}

Row = tuple[int, dict[str, Any]]


def load(folder: Path) -> Loaded:
    """Read and check every file of one task. Raises DataError with file, line and what is wrong there."""
    sources = _files(folder)
    tables = {split: _read(path, labelled=split != "test") for split, path in sources.items()}
    pairs = {"text_pair" in columns for columns in tables.values()}
    if len(pairs) > 1:
        has = [str(sources[split]) for split, columns in tables.items() if "text_pair" in columns]
        raise DataError(f"{', '.join(has)}: has a column text_pair, the other files lack it; all must have it or none")
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
    there = sorted(path.name for path in folder.iterdir())
    found: dict[str, Path] = {}
    for split, names in SPLITS.items():
        candidates = [name for name in there if Path(name).stem in names and Path(name).suffix in FORMATS]
        if len(candidates) > 1:
            raise DataError(f"{folder}: {' and '.join(candidates)} are both there; keep one")
        if candidates:
            found[split] = folder / candidates[0]
            _check_is_file(found[split])
    if "train" not in found:
        raise DataError(
            f"{folder}: no train file; need train with one of {', '.join(FORMATS)}; "
            f"found {', '.join(there) or 'nothing'}"
        )
    used = {path.name for path in found.values()}
    unused = [name for name in there if name not in used and not name.startswith((".", "README"))]
    if unused:
        print(
            f"{folder}: {', '.join(unused)} not read; the files of a task are train, validation (or val, dev, valid) "
            f"and test with one of {', '.join(FORMATS)}",
            file=sys.stderr,
        )
    return found


def _check_is_file(path: Path) -> None:
    """Raise DataError for a folder, a broken link, and a pipe, which would never end."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; need a file")
    if not path.exists():
        raise DataError(f"{path}: is a broken link; point it to a file or remove it")
    if not path.is_file():
        raise DataError(f"{path}: is not a regular file; need a file")


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
                    + _header_cure(path, list(map(str, row)), missing[0])
                )
            columns = {name: [] for name in COLUMNS if name in row}
        for name, column in columns.items():
            if name not in row:
                raise DataError(f"{path} line {line}: {name} is missing")
            column.append(checked(path, line, name, row[name]))
        if "text_pair" in row and "text_pair" not in columns:
            raise DataError(f"{path} line {line}: has a text_pair, the lines above lack it")
    if not columns:
        raise DataError(f"{path}: has no rows; need a header and at least one row")
    return columns


def _header_cure(path: Path, columns: list[str], missing: str) -> str:
    if any(name.strip().lower() == missing for name in columns):
        return f"names of columns are in lower case: {missing}"
    if len(columns) == 1 and ";" in columns[0]:
        return "the fields are separated by semicolons; save the file with commas"
    if len(columns) == 1 and "\t" in columns[0]:
        return f"the fields are separated by tabs; name the file {path.stem}.tsv"
    if len(columns) == 1 and "," in columns[0]:
        return f"the fields are separated by commas; name the file {path.stem}.csv"
    return "need text, label and, for pairs, text_pair"


def checked(path: Path, line: int, name: str, value: Any) -> Any:
    """A cell that can be used. Raises DataError, naming its line, when it cannot."""
    where = f"{path} line {line}: {name}"
    if value is None or value == "":
        raise DataError(f"{where} is empty; fill it in or remove the row")
    if isinstance(value, str):
        _check_text(where, value)
    elif name != "label":
        raise DataError(f"{where} is {value!r:.40} ({type(value).__name__}); need text")
    if name == "label":
        _check_label(where, value)
    return value


def _check_text(where: str, value: str) -> None:
    if not value.strip():
        raise DataError(f"{where} is blank; fill it in or remove the row")
    if "\0" in value:
        raise DataError(f"{where} has a NUL character; remove it")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(f"{where} has one half of a surrogate pair, such as a cut emoji; remove it")


def _check_label(where: str, value: Any) -> None:
    if not isinstance(value, str | int | float | bool):
        raise DataError(f"{where} is a {type(value).__name__}; need a word or a number")
    if isinstance(value, float) and not np.isfinite(value):
        raise DataError(f"{where} is {value}; need a finite number")
    if isinstance(value, str) and len(value) > LONGEST_LABEL:
        raise DataError(f"{where} has {len(value):,} characters; need a short word or a number")
    if isinstance(value, str) and DECIMAL_COMMA.fullmatch(value.strip()):
        raise DataError(f"{where} is {value!r}; write a number with a decimal point: {value.strip().replace(',', '.')}")
    if not isinstance(value, str) and abs(value) >= LARGEST_LABEL:
        raise DataError(f"{where} is {value:.3g}; need a number below {LARGEST_LABEL:.0e}: scale the labels")


def _lines(path: Path) -> Iterator[str]:
    """The decoded lines of a UTF-8 file, a byte order mark skipped. Raises DataError at the first bad byte."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                line = _first_line(path, line)
            if b"\0" in line:
                raise DataError(f"{path} line {number}: has a NUL character; remove it, or save the file as UTF-8")
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path} line {number}: invalid UTF-8 byte 0x{line[error.start]:02x} at column {error.start + 1}; "
                    "convert the file to UTF-8"
                ) from None


def _first_line(path: Path, line: bytes) -> bytes:
    """The first line without a byte order mark. Raises DataError where the file is no text in UTF-8 with lines."""
    for start, what in NOT_TEXT.items():
        if line.startswith(start):
            raise DataError(f"{path}: {what}")
    if b"\r" in line.removesuffix(b"\n")[:-1]:
        raise DataError(f"{path}: has old Mac line ends (CR alone); save it with LF or CRLF line ends")
    return line.removeprefix(codecs.BOM_UTF8)


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
    start = 1
    try:
        names = [name.strip() for name in next(reader, [])]
        header = _header(path, names)
        start = reader.line_num + 1
        for fields in reader:
            if fields:
                _check_fields(path, start, fields, names, delimiter)
                yield start, dict(zip(header, fields, strict=False))
            start = reader.line_num + 1
    except csv.Error as error:
        cure = "a quote inside a quoted text is written twice"
        if "end of data" in str(error):
            cure, error = "close it", csv.Error("a quoted field has no end")
        elif "new-line" in str(error):
            cure, error = "save the file with LF or CRLF line ends", csv.Error("a CR alone ends a line")
        raise DataError(f"{path} line {start}: {error}; {cure}") from None


def _header(path: Path, names: list[str]) -> list[str]:
    """The names of the columns, without the empty ones that spreadsheets add at the end."""
    header = list(names)
    while header and not header[-1]:
        header.pop()
    if "" in header:
        raise DataError(f"{path} line 1: column {header.index('') + 1} has no name; name it or delete it")
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise DataError(f"{path} line 1: column {repeated[0]!r} appears twice; rename one")
    return header


def _check_fields(path: Path, line: int, fields: list[str], names: list[str], delimiter: str) -> None:
    if any(field[:1] == " " and field.lstrip(" ")[:1] == '"' for field in fields):
        raise DataError(f"{path} line {line}: a space before a quote; remove the space")
    if len(fields) != len(names):
        what = "tab" if delimiter == "\t" else "comma"
        raise DataError(
            f"{path} line {line}: {len(fields)} fields, the header has {len(names)}; quote texts that hold a {what}"
        )
    for name, field in zip(names, fields, strict=True):
        if not name and field.strip():
            raise DataError(f"{path} line {line}: {field[:40]!r} is in a column without a name; name it or delete it")


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            array = "; this looks like a JSON array: write one object a line" if line[0] == "[" else ""
            raise DataError(f"{path} line {number}: not JSON ({error}){array}") from None
        except (ValueError, RecursionError):  # Python reads no longer numbers and no deeper nesting
            raise DataError(f"{path} line {number}: a number of over 4,300 digits or nested too deeply") from None
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
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno:  # the disk's, not the file's
            raise
        raise DataError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]}); write it again") from None


def _number(value: Any) -> float | None:
    """A label's finite value, or None for a word."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None


def _is_regression(names: dict[str, list[Any]], sources: dict[str, Path]) -> bool:
    """Numbers of which at least one has a fraction part are values to predict, not classes."""
    if all(isinstance(v, int) or (isinstance(v, str) and WHOLE_NUMBER.fullmatch(v)) for c in names.values() for v in c):
        return False
    numbers = {split: [_number(value) for value in column] for split, column in names.items()}
    for split, column in numbers.items():
        for row, number in enumerate(column, start=1):
            if number is not None and abs(number) >= LARGEST_LABEL:
                raise DataError(
                    f"{sources[split]} row {row}: label is {names[split][row - 1]}; "
                    f"need numbers below {LARGEST_LABEL:.0e}: scale the labels, or use words for classes"
                )
    if not any(number is not None and number % 1 for column in numbers.values() for number in column):
        return False
    for split, column in numbers.items():
        for row, (number, given) in enumerate(zip(column, names[split], strict=True), start=1):
            where = f"{sources[split]} row {row}: label is {given}"
            if str(given).strip().lower() in NOT_FINITE:
                raise DataError(f"{where}, the others are numbers; need a finite number")
            if number is None:
                raise DataError(
                    f"{where}, others are numbers with fractions; correct it, or write every class as a word"
                )
    return True


def _class_name(value: Any) -> str:
    """A label as the name of a class; what pandas writes as 1.0 is 1."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) or (isinstance(value, str) and re.fullmatch(r"\s*[+-]?[0-9]{1,18}\.0*\s*", value)):
        return str(int(float(value)))
    return str(value).strip()


def _class_names(names: dict[str, list[Any]], sources: dict[str, Path]) -> list[str]:
    seen = {split: {_class_name(value) for value in column} for split, column in names.items()}
    train = seen["train"]
    for split, classes in seen.items():
        unknown = sorted(classes - train)
        if unknown:
            rows = [i for i, value in enumerate(names[split], start=1) if _class_name(value) == unknown[0]]
            raise DataError(
                f"{sources[split]}: {len(rows)} rows have label {unknown[0]!r}, which train lacks "
                f"(first at row {rows[0]}); add training rows or remove these"
            )
    if len(train) < 2:
        raise DataError(f"{sources['train']}: only one class {next(iter(train))!r}; need at least two")
    _warn_of_alike(train, sources["train"])
    if all(WHOLE_NUMBER.fullmatch(name) for name in train):
        return sorted(train, key=lambda name: (int(name), name))
    return sorted(train)


def _warn_of_alike(classes: set[str], path: Path) -> None:
    """Name two classes that differ only in case, blanks or Unicode form: one of them is often a typo."""
    first: dict[str, str] = {}
    for name in sorted(classes):
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if key in first:
            print(f"{path}: labels {first[key]!r} and {name!r} are two classes; make them one?", file=sys.stderr)
        first[key] = name
