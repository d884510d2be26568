"""The column `group` or `time` of the user's files: read where the param `split_by` names it, and checked."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from refit.errors import DataError

Cells = list[tuple[str, Any]]  # (file and line, value)


def groups(files: Mapping[Path, Cells]) -> list[pa.Array]:
    """The groups of each file, as text. Raises DataError for a value that is no group, or a group in two files."""
    columns, file_of = [], dict[str, Path]()
    for path, cells in files.items():
        columns.append(pa.array([_group(where, value) for where, value in cells], pa.string()))
        for group in columns[-1].unique().to_pylist():
            if file_of.setdefault(group, path) != path:
                raise DataError(f"{path}: group {group!r} is in {file_of[group].name}, too; put its rows into one file")
    return columns


def times(files: Mapping[Path, Cells]) -> list[pa.Array]:
    """The times of each file, as numbers or timestamps; `files` is in the order train, validation, test.

    Raises DataError for a value that is no time, times of two kinds, and files that are not in the order of time.
    """
    columns, kinds = [], dict[str, str]()  # kind → the first cell of this kind
    for cells in files.values():
        found = [_time(where, value) for where, value in cells]
        for (where, value), time in zip(cells, found, strict=True):
            kinds.setdefault(_kind(time), f"{where}: time is {value}")
        columns.append(found)
    if len(kinds) > 1:
        (kind, cell), (other, place), *_ = kinds.items()
        raise DataError(f"{place} ({other}), but {cell} ({kind}); write all times alike")
    columns = [pa.array(found) for found in columns]
    for (path, before), (later, after) in pairwise(zip(files, columns, strict=True)):
        first, last = pc.min(after).as_py(), pc.max(before).as_py()
        if first < last:
            raise DataError(
                f"{later}: has the time {first}, which is before {last} in {path.name}; with split_by: time need the "
                "rows of train before those of validation, and those of test last"
            )
    return columns


def _group(where: str, value: Any) -> str:
    """A group as text; 1.0 is 1, because pandas writes whole numbers with a decimal point in a column with gaps."""
    if not isinstance(value, str | int | float) or value != value:
        raise DataError(f"{where}: group is {value!r:.40}; need a text or a number")
    return str(value).strip().removesuffix(".0")


def _time(where: str, value: Any) -> float | datetime:
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time
    except (ValueError, OverflowError):
        raise DataError(f"{where}: time is {text!r:.40}; need 2024-05-31, 2024-05-31T12:30:00, or a number") from None


def _kind(time: float | datetime) -> str:
    if isinstance(time, float):
        return "a number"
    return "a date with a time zone" if time.tzinfo else "a date without a time zone"
