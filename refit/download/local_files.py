"""The user's own files: data/own/NAME/{train,validation,test}.{csv,tsv,jsonl,parquet} with text, [text_pair,] label.

Labels that are words or whole numbers are classes. Numbers of which at least one has a fraction make it a regression.
A column `labels` instead of `label` makes it multi-label: a list in JSONL and parquet, `a|b` in CSV and TSV.
"""

import math
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from refit.data import row_files
from refit.data.task_record import ProblemType
from refit.download.splits import HIDDEN, Loaded
from refit.errors import DataError
from refit.params import SplitBy
from refit.storage import files

SPLITS = {"train": ("train",), "validation": ("validation", "val", "dev", "valid"), "test": ("test",)}
WHOLE_NUMBER = re.compile(r"([+-]?[0-9]+)(\.0*)?")
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
LONGEST_LABEL = 500  # characters; a longer one is a text in the wrong column
LARGEST_LABEL = 1e15  # of a regression; the loss and the gradient of larger ones overflow float32

Columns = dict[str, list[Any]]
Cells = list[tuple[str, Any]]  # (file and line, value)
Labels = list[tuple[str, str]]  # (file and line, label)


def load(folder: Path, split_by: SplitBy = "random") -> Loaded:
    """Read and check every file of a task. Raises DataError with the file, the line and the problem.

    If `split_by` is `group` or `time`, the last column of the splits is the files' column of this name.
    """
    sources = _files(folder)
    label = _label_column(sources["train"])
    read = {split: _read(path, label, split_by, is_test=split == "test") for split, path in sources.items()}
    pairs = [str(sources[split]) for split, columns in read.items() if "text_pair" in columns]
    if 0 < len(pairs) < len(read):
        raise DataError(
            f"{', '.join(pairs)}: has a column text_pair, the other files lack it; all must have it or none"
        )
    single: dict[str, Labels] = {}
    for split, columns in read.items():
        rows = zip(columns["line"], columns[label], strict=False)
        single[split] = [(line, name) for line, of_row in rows for name in of_row]
    problem_type: ProblemType = "multi_label" if label == "labels" else "classification"
    if label == "label" and _is_regression([of_row for of_split in single.values() for of_row in of_split]):
        problem_type = "regression"
    classes = [] if problem_type == "regression" else _classes(single, sources["train"])
    tables = {}
    for split, columns in read.items():
        texts = {name: pa.array(columns[name], pa.string()) for name in ("text", "text_pair") if name in columns}
        stored = _stored(columns[label], classes, problem_type, len(columns["text"]))
        tables[split] = pa.table(texts | {"label": stored})
    if split_by != "random":
        column_of = _groups if split_by == "group" else times
        cells = {sources[name]: list(zip(of["line"], of[split_by], strict=True)) for name, of in read.items()}
        found = zip(tables.items(), column_of(cells), strict=True)
        tables = {split: table.append_column(split_by, column) for (split, table), column in found}
    return Loaded(
        splits=tables, labels=classes, problem_type=problem_type, revision="own files",
        files={path.name: files.sha256(path) for path in sources.values()},
    )  # fmt: skip


def _stored(labels: list[list[str]], classes: list[str], problem_type: ProblemType, rows: int) -> pa.Array:
    """The label column of a split in data/raw; all hidden if the split has no labels."""
    if problem_type == "regression":
        return pa.array([float(label) for (label,) in labels] or [HIDDEN] * rows, pa.float32())
    index = {name: position for position, name in enumerate(classes)}
    ids = [sorted({index[label] for label in of_row}) for of_row in labels] or [[HIDDEN]] * rows
    if problem_type == "multi_label":
        return pa.array(ids, pa.list_(pa.int64()))
    return pa.array([index for (index,) in ids], pa.int64())


def _label_column(train: Path) -> str:
    """`labels` if the train file has it, otherwise `label`. Raises DataError if it has both."""
    found = sorted({"label", "labels"} & set(row_files.columns(train)))
    if len(found) == 2:
        raise DataError(f"{train}: has the columns label and labels; keep label (one a row) or labels (several)")
    return found[0] if found else "label"


def _files(folder: Path) -> dict[str, Path]:
    """The file of each split; a warning names the files that are not read."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; put train.csv (columns text, label) there")
    there = sorted(folder.iterdir())
    formats = ", ".join(row_files.FORMATS)
    found = {}
    for split, stems in SPLITS.items():
        matching = [path for path in there if path.stem in stems and path.suffix in row_files.FORMATS]
        if len(matching) > 1:
            raise DataError(f"{folder}: {' and '.join(path.name for path in matching)} are both there; keep one")
        for path in matching:
            if not path.is_file():
                raise DataError(f"{path}: is a folder or a broken link; need a file")
            found[split] = path
    if "train" not in found:
        names = ", ".join(path.name for path in there) or "nothing"
        raise DataError(f"{folder}: no train file; need train with one of {formats}; found {names}")
    others = [path.name for path in there if path not in found.values() and path.suffix != ".dvc"]
    if unread := [name for name in others if not name.startswith((".", "README"))]:
        print(
            f"{folder}: {', '.join(unread)} not read; the files of a task are train, validation (or val, dev, valid) "
            f"and test with one of {formats}",
            file=sys.stderr,
        )
    return found


def _read(path: Path, label_column: str, split_by: SplitBy, *, is_test: bool) -> Columns:
    """The columns of a file, and `line`, the file and line of each row.

    The labels are a list for each row; there are none for a test file without labels or with an empty column.
    """
    required, optional = ["text"], ["text_pair"]
    (optional if is_test else required).append(label_column)
    required += [] if split_by == "random" else [split_by]
    may_be_empty = [label_column] if is_test or label_column == "labels" else []
    columns: Columns = {}
    for line, row in row_files.read(path, required, optional, may_be_empty=may_be_empty):
        cells: dict[str, Any] = {"line": f"{path} line {line}", **row}
        for name, value in cells.items():
            columns.setdefault(name, []).append(value)
    given = columns.pop(label_column, [])
    if is_test and all(value is None or value == [] for value in given):
        given = []
    if label_column == "labels" and path.suffix in (".csv", ".tsv"):
        given = [value.split("|") if value else None for value in given]
    parse = _listed if label_column == "labels" else lambda where, value: [_label(where, value)]
    wheres = (f"{line}: {label_column}" for line in columns["line"])
    columns[label_column] = [parse(where, value) for where, value in zip(wheres, given, strict=False)]
    return columns


def _listed(where: str, value: Any) -> list[str]:
    """The labels of a row of a multi-label task; none if it is empty."""
    if not isinstance(value, list | None):
        raise DataError(f"{where} is {value!r:.40}; need a list of labels")
    if any(label is None or not str(label).strip() for label in value or []):
        raise DataError(f"{where} has an empty label; remove it")
    return [_label(where, label) for label in value or []]


def _label(where: str, value: Any) -> str:
    """A label as text. A whole number loses its decimal point: pandas writes 1 as 1.0 in a column with gaps."""
    if value is None:
        raise DataError(f"{where} is empty; fill it in, or leave it empty in every row")
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise DataError(f"{where} is a {type(value).__name__}; need a word or a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise DataError(f"{where} is {value}; need a finite number")
    label = str(value).strip()
    if len(label) > LONGEST_LABEL:
        raise DataError(f"{where} has {len(label):,} characters; need a short word or a number")
    if DECIMAL_COMMA.fullmatch(label):
        raise DataError(f"{where} is {label!r}; write numbers with a decimal point and without separators")
    whole = WHOLE_NUMBER.fullmatch(label)
    return str(int(whole[1])) if whole and whole[2] else label


def _number(label: str) -> float:
    """The value of a label; not finite if it is no number."""
    try:
        return math.nan if "_" in label else float(label)
    except ValueError:
        return math.nan


def _is_regression(labels: Labels) -> bool:
    """Whether labels are numbers, some with a fraction. Raises DataError if only some of them are numbers."""
    numbers = [math.nan if WHOLE_NUMBER.fullmatch(label) else _number(label) for _, label in labels]
    if not any(math.isfinite(n) and (n % 1 or abs(n) >= LARGEST_LABEL) for n in numbers):
        return False
    for line, label in labels:
        if not abs(_number(label)) < LARGEST_LABEL:
            raise DataError(
                f"{line}: label is {label}, but others are numbers with a decimal point; need a number below "
                f"{LARGEST_LABEL:.0e} in every row, or words for classes"
            )
    return True


def _classes(labels: dict[str, Labels], train: Path) -> list[str]:
    """The class names, numbers in numeric order. Raises DataError if train has a single class, or lacks one."""
    classes = {label for _, label in labels["train"]}
    for of_split in labels.values():
        if unknown := [(line, label) for line, label in of_split if label not in classes]:
            line, label = unknown[0]
            raise DataError(
                f"{line}: label is {label!r}, which train lacks (rows with such a label: {len(unknown)}); "
                "add training rows or remove these"
            )
    if len(classes) < 2:
        found = f"only one class {next(iter(classes))!r}" if classes else "no row has a label"
        raise DataError(f"{train}: {found}; need at least two classes")
    alike: dict[str, str] = {}
    for name in sorted(classes):
        if (other := alike.setdefault(name.casefold(), name)) != name:
            print(f"{train}: labels {other!r} and {name!r} are two classes; make them one?", file=sys.stderr)
    if all(WHOLE_NUMBER.fullmatch(name) for name in classes):
        return sorted(classes, key=lambda name: (int(name), name))
    return sorted(classes)


def _groups(cells_of: Mapping[Path, Cells]) -> list[pa.Array]:
    """The groups of each file, as text. Raises DataError for a value that is no group, or a group in two files."""
    columns, file_of = [], dict[str, Path]()
    for path, cells in cells_of.items():
        columns.append(pa.array([_group(where, value) for where, value in cells]))
        for group in columns[-1].unique().to_pylist():
            if file_of.setdefault(group, path) != path:
                raise DataError(f"{path}: group {group!r} is in {file_of[group].name}, too; put its rows into one file")
    return columns


def times(cells_of: Mapping[Path, Cells]) -> list[pa.Array]:
    """The times of each file, as numbers or timestamps; in the order train, validation, test.

    Raises DataError for a value that is no time, times of two kinds, and a file with earlier times than the one before.
    """
    columns: list[list[Any]] = []
    kinds: dict[str, str] = {}  # with the first cell of each
    for cells in cells_of.values():
        columns.append([])
        for where, value in cells:
            kind, time = _time(where, value)
            kinds.setdefault(kind, f"{where}: time is {value} ({kind})")
            columns[-1].append(time)
    if len(kinds) > 1:
        first, second, *_ = kinds.values()
        raise DataError(f"{second}, but {first}; write all times alike")
    for (path, before), (later, after) in pairwise(zip(cells_of, columns, strict=True)):
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
    number = _number(text)
    if math.isfinite(number):
        return "a number", number
    try:
        time = datetime.fromisoformat(text)
        return ("a date with a zone", time.astimezone(UTC)) if time.tzinfo else ("a date without a zone", time)
    except (ValueError, OverflowError):
        raise DataError(f"{where}: time is {text!r:.40}; need 2024-05-31, 2024-05-31T12:30:00, or a number") from None
