"""The column `group` or `time` of the user's files: read where the param `split_by` names it, and checked."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from refit.errors import DataError

Cells = list[tuple[str, Any]]  # (file and line, value)


def groups(files: Mapping[Path, Cells]) -> list[pa.Array]:
    """The groups of each file, as text. Raises DataError for a value that is no group, or a group in two files."""
    columns, file_of = [], dict[str, Path]()
    for path, cells in files.items():
        columns.append(pa.array([_group(where, value) for where, value in cells]))
        for group in columns[-1].unique().to_pylist():
            if file_of.setdefault(group, path) != path:
                raise DataError(f"{path}: group {group!r} is in {file_of[group].name}, too; put its rows into one file")
    return columns


def times(files: Mapping[Path, Cells]) -> list[pa.Array]:
    """The times of each file, as numbers or timestamps; `files` is in the order train, validation, test.

    Raises DataError for a value that is no time, times of two kinds, and a file with earlier times than the one before.
    """
    columns: list[list[Any]] = []
    kinds: dict[str, str] = {}  # with the first cell of each
    for cells in files.values():
        columns.append([])
        for where, value in cells:
            kind, time = _time(where, value)
            kinds.setdefault(kind, f"{where}: time is {value} ({kind})")
            columns[-1].append(time)
    if len(kinds) > 1:
        first, second, *_ = kinds.values()
        raise DataError(f"{second}, but {first}; write all times alike")
    for (path, before), (later, after) in pairwise(zip(files, columns, strict=True)):
        if min(after) < max(before):
            raise DataError(
                f"{later}: has the time {min(after)}, which is before {max(before)} in {path.name}; with split_by: "
                "time need the rows of train before those of validation, and those of test last"
            )
    return [pa.array(column) for column in columns]


def _group(where: str, value: Any) -> str:
    """A group as text; 1.0 is 1, because pandas writes whole numbers with a decimal point in a column with gaps."""
    if not isinstance(value, str | int | float) or value != value:
        raise DataError(f"{where}: group is {value!r:.40}; need a text or a number")
    return str(value).strip().removesuffix(".0")


def _time(where: str, value: Any) -> tuple[str, float | datetime]:
    """The kind of a time, and its value."""
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return "a number", number
    try:
        time = datetime.fromisoformat(text)
        return ("a date with a zone", time.astimezone(UTC)) if time.tzinfo else ("a date without a zone", time)
    except (ValueError, OverflowError):
        raise DataError(f"{where}: time is {text!r:.40}; need 2024-05-31, 2024-05-31T12:30:00, or a number") from None
