"""Strict readers of users' CSV, TSV, JSON lines and parquet files, where pandas and datasets would guess.

`NA` is a text. Every DataError names the file, the line (in parquet: the row), the problem and its fix.
"""

import codecs
import csv
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refit.errors import DataError

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
AS_UTF8 = "save it as UTF-8 (in Excel: CSV UTF-8)"
NOT_ONLY_TEXT = ("label", "labels", "group", "time")  # columns whose cells may also be numbers or lists
SPACE_QUOTE = re.compile(' +"')
NOT_TEXT = {
    codecs.BOM_UTF16_LE: f"is in UTF-16; {AS_UTF8}",
    codecs.BOM_UTF16_BE: f"is in UTF-16; {AS_UTF8}",
    b"PK\x03\x04": f"is a zip archive or an Excel workbook; {AS_UTF8}",
    b"\x1f\x8b": "is compressed by gzip; unpack it",
}

Row = tuple[int, dict[str, Any]]


def read(
    path: Path, required: Sequence[str], optional: Sequence[str], *, may_be_empty: Sequence[str] = ()
) -> Iterator[Row]:
    """Yield (line, cells) for each row, with the required columns and the optional ones that the first row has.

    An empty cell of the columns `may_be_empty` is None. Raises DataError for an unreadable file, a missing column,
    another empty or blank cell, or text that UTF-8 cannot encode.
    """
    names: list[str] = []
    for line, row in _rows(path, [*required, *optional]):
        if not names:
            _check_header(path, list(map(str, row)), required)
            names = [*required, *(name for name in optional if name in row)]
        for name in (*required, *optional):
            if (name in row) != (name in names):
                how = "is missing" if name in names else "is not in the rows before"
                raise DataError(f"{path} line {line}: {name} {how}; every row needs the same columns")
        cells = {name: row[name] for name in names}
        for name, value in cells.items():
            if name in may_be_empty and (value is None or value == "" or str(value).isspace()):
                cells[name] = None
            elif problem := _problem(name, value):
                raise DataError(f"{path} line {line}: {name} {problem}")
        yield line, cells
    if not names:
        raise DataError(f"{path}: has no rows; need a header and at least one row")


def columns(path: Path) -> list[str]:
    """The columns of a file's first row; none if it has no rows. Raises DataError for an unreadable file."""
    return next((list(map(str, row)) for _, row in _rows(path, ["text"])), [])


def _rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    """The rows of a file; of other columns than `wanted` the cells may be None."""
    if path.suffix == ".parquet":
        return _parquet_rows(path, wanted)
    return _jsonl_rows(path) if path.suffix == ".jsonl" else _csv_rows(path)


def _check_header(path: Path, columns: list[str], required: Sequence[str]) -> None:
    for name in required:
        if name not in columns:
            hint = f"need {' and '.join(required)}"
            if any(column.strip().lower() == name for column in columns):
                hint = f"column names must be lower case: {', '.join(required)}"
            elif name in ("group", "time"):
                hint = f"params.yaml split_by: {name} needs it; add it, or use split_by: random"
            elif len(columns) == 1 and ";" in columns[0]:
                hint = "fields are separated by semicolons; save the file with commas"
            elif len(columns) == 1 and "\t" in columns[0]:
                hint = f"fields are separated by tabs; name the file {path.stem}.tsv"
            elif len(columns) == 1 and "," in columns[0]:
                hint = f"fields are separated by commas; name the file {path.stem}.csv"
            raise DataError(f"{path}: column {name!r} not found; columns are: {', '.join(columns)}; {hint}")


def _problem(name: str, value: Any) -> str | None:
    if value is None or value == "":
        return "is empty; fill it in or remove the row"
    if isinstance(value, str):
        if value.isspace():
            return "is blank; fill it in or remove the row"
        if "\0" in value:
            return "has a NUL character; remove it"
        try:
            value.encode()
        except UnicodeEncodeError:
            return "has one half of a surrogate pair, such as a cut emoji; remove it"
    elif name not in NOT_ONLY_TEXT:
        return f"is {value!r:.40} ({type(value).__name__}); need text"
    return None


def _lines(path: Path) -> Iterator[str]:
    """The decoded lines of a UTF-8 file, without a byte order mark."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if number == 1:
                for start, problem in NOT_TEXT.items():
                    if line.startswith(start):
                        raise DataError(f"{path}: {problem}")
                if b"\r" in line.rstrip(b"\r\n"):
                    raise DataError(f"{path}: has old Mac line endings (CR alone); save it with LF or CRLF")
                line = line.removeprefix(codecs.BOM_UTF8)
            if b"\0" in line:
                raise DataError(f"{path} line {number}: has a NUL character; remove it, or {AS_UTF8}")
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path} line {number}: invalid UTF-8 byte 0x{line[error.start]:02x} at column {error.start + 1}; "
                    f"{AS_UTF8}"
                ) from None


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(2**31 - 1)
    delimiter, what = ("\t", "tab") if path.suffix == ".tsv" else (",", "comma")
    record: list[str] = []  # the lines of the row that is being read
    reader = csv.reader(_kept(_lines(path), record), delimiter=delimiter, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        names = _names(path, columns)
        record.clear()
        for fields in reader:
            line = reader.line_num + 1 - len(record)
            if fields and (len(fields) != len(columns) or any(map(str.strip, fields[len(names) :]))):
                raise DataError(
                    f"{path} line {line}: {len(fields)} fields, the header names {len(names)}; "
                    f"quote texts that hold a {what}"
                )
            if any(SPACE_QUOTE.match(field) and delimiter + field in delimiter + "".join(record) for field in fields):
                raise DataError(f"{path} line {line}: a space before a quote; remove the space")
            if fields:
                yield line, dict(zip(names, fields, strict=False))
            record.clear()
    except csv.Error as error:
        problem = f"{error}; a quote inside a quoted text is written twice"
        if "end of data" in str(error):
            problem = "a quoted field has no end; close it"
        elif "new-line" in str(error):
            problem = "a CR alone ends a line; save the file with LF or CRLF line endings"
        raise DataError(f"{path} line {reader.line_num + 1 - len(record)}: {problem}") from None


def _kept(lines: Iterator[str], record: list[str]) -> Iterator[str]:
    for line in lines:
        record.append(line)
        yield line


def _names(path: Path, columns: list[str]) -> list[str]:
    """The names of the columns, without the unnamed ones that spreadsheets add at the end."""
    names = list(columns)
    while names and not names[-1]:
        names.pop()
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"{path}: column {number} has no name; name it or delete it (pandas: index=False)")
        if names.count(name) > 1:
            raise DataError(f"{path}: column {name!r} appears twice; rename one")
    return names


def _jsonl_rows(path: Path) -> Iterator[Row]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            array = "; this looks like a JSON array: write one object a line" if line[0] == "[" else ""
            raise DataError(f"{path} line {number}: not JSON ({error}){array}") from None
        if not isinstance(row, dict):
            raise DataError(f'{path} line {number}: need an object like {{"text": ..., "label": ...}}')
        yield number, row


def _parquet_rows(path: Path, wanted: Sequence[str]) -> Iterator[Row]:
    """The rows, with None for the cells of other columns than `wanted`, which are not read."""
    try:
        file = pq.ParquetFile(path)
        names = _names(path, file.schema_arrow.names)
        columns = [name for name in names if name in wanted]
        unread = dict.fromkeys(names)
        number = 0
        for batch in file.iter_batches(batch_size=10_000, columns=columns or names):
            for row in batch.to_pylist():
                number += 1
                yield number, unread | row
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:  # an error of the disk, not of the file
            raise
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a readable parquet file ({reason}); write it again") from None
