"""The user's own files: data/own/NAME/{train,validation,test}.{csv,tsv,jsonl,parquet} with text, [text_pair,] label.

Labels that are words or whole numbers are classes. Numbers of which at least one has a fraction make it a regression.
A column `labels` instead of `label` makes it multi-label: a list in JSONL and parquet, `a|b` in CSV and TSV.
"""

import math
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa

from refit.data import row_files
from refit.data.task_record import ProblemType
from refit.download import split_column
from refit.download.splits import HIDDEN, Loaded
from refit.errors import DataError
from refit.params import SplitBy
from refit.storage import files

SPLITS = {"train": ("train",), "validation": ("validation", "val", "dev", "valid"), "test": ("test",)}
WHOLE_NUMBER = re.compile(r"([+-]?[0-9]+)(\.0*)?")
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
LONGEST_LABEL = 500  # characters; a longer one is a text in the wrong column
LARGEST_LABEL = 1e15  # of a regression; the loss and the gradient of larger ones overflow float32

Labels = list[tuple[str, str]]  # (file and line, label)
LabelLists = list[tuple[str, list[str]]]  # (file and line, labels of the row)


def load(folder: Path, split_by: SplitBy = "random") -> Loaded:
    """Read and check every file of a task. Raises DataError with the file, the line and the problem.

    If `split_by` is `group` or `time`, the last column of the splits is the files' column of this name.
    """
    sources = _files(folder)
    column = _label_column(sources["train"])
    texts, labels = {}, {}
    for split, path in sources.items():
        texts[split], labels[split] = _read(path, column, split_by, is_test=split == "test")
    cells = {sources[split]: columns.pop(split_by, []) for split, columns in texts.items()}
    pairs = [str(sources[split]) for split, columns in texts.items() if "text_pair" in columns]
    if 0 < len(pairs) < len(texts):
        raise DataError(
            f"{', '.join(pairs)}: has a column text_pair, the other files lack it; all must have it or none"
        )
    single = {split: [(line, label) for line, of_row in rows for label in of_row] for split, rows in labels.items()}
    problem_type: ProblemType = "multi_label" if column == "labels" else "classification"
    if column == "label" and _is_regression([label for of_split in single.values() for label in of_split]):
        problem_type = "regression"
    classes = [] if problem_type == "regression" else _classes(single, sources["train"])
    tables = {}
    for split, columns in texts.items():
        arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        stored = _stored([of_row for _, of_row in labels[split]], classes, problem_type, len(columns["text"]))
        tables[split] = pa.table({**arrays, "label": stored})
    if split_by != "random":
        column_of = split_column.groups if split_by == "group" else split_column.times
        found = zip(tables.items(), column_of(cells), strict=True)
        tables = {split: table.append_column(split_by, column) for (split, table), column in found}
    return Loaded(
        splits=tables, labels=classes, problem_type=problem_type, revision="own files",
        files={path.name: files.sha256(path) for path in sources.values()},
    )  # fmt: skip


def _stored(labels: list[list[str]], classes: list[str], problem_type: ProblemType, rows: int) -> pa.Array:
    """The label column of a split in data/raw; all hidden if the split has no labels."""
    index = {name: position for position, name in enumerate(classes)}
    if problem_type == "multi_label":
        sets = [sorted({index[label] for label in of_row}) for of_row in labels]
        return pa.array(sets or [[HIDDEN]] * rows, pa.list_(pa.int64()))
    is_regression = problem_type == "regression"
    values = [float(label) if is_regression else index[label] for (label,) in labels]
    return pa.array(values or [HIDDEN] * rows, pa.float32() if is_regression else pa.int64())


def _label_column(train: Path) -> str:
    """`labels` if the train file has it, otherwise `label`. Raises DataError if it has both."""
    found = sorted({"label", "labels"} & set(row_files.columns(train)))
    if len(found) == 2:
        raise DataError(f"{train}: has the columns label and labels; keep label (one a row) or labels (several)")
    return found[0] if found else "label"


def _files(folder: Path) -> dict[str, Path]:
    """The file of each split; a warning names the files that are not read."""
    if not folder.is_dir():
        tasks = sorted(path.name for path in folder.parent.glob("*") if path.is_dir())
        raise DataError(
            f"{folder}: no such folder; put train.csv (columns text, label) there, "
            f"or choose one of: {', '.join(tasks) or 'none yet'}"
        )
    there = sorted(folder.iterdir())
    formats = ", ".join(row_files.FORMATS)
    found = {}
    for split, stems in SPLITS.items():
        matching = [path for path in there if path.stem in stems and path.suffix in row_files.FORMATS]
        if len(matching) > 1:
            raise DataError(f"{folder}: {' and '.join(path.name for path in matching)} are both there; keep one")
        for path in matching:
            if not path.is_file():
                kind = "a folder" if path.is_dir() else "not a regular file" if path.exists() else "a broken link"
                raise DataError(f"{path}: is {kind}; need a file")
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


def _read(
    path: Path, label_column: str, split_by: SplitBy, *, is_test: bool
) -> tuple[dict[str, list[Any]], LabelLists]:
    """The texts of a file by column, and its labels: none of a test file without labels or with an empty column.

    Next to the texts is the column that `split_by` names; its values are with the file and the line.
    """
    required, optional = ["text"], ["text_pair"]
    (optional if is_test else required).append(label_column)
    required += [] if split_by == "random" else [split_by]
    may_be_empty = [label_column] if is_test or label_column == "labels" else []
    lines: list[str] = []
    columns: dict[str, list[Any]] = {}
    for line, row in row_files.read(path, required, optional, may_be_empty=may_be_empty):
        lines.append(f"{path} line {line}")
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    if split_by in columns:
        columns[split_by] = list(zip(lines, columns[split_by], strict=True))
    labels = columns.pop(label_column, [])
    if is_test and all(label is None or label == [] for label in labels):
        labels = []
    if label_column == "labels":
        labels = [_listed(f"{line}: labels", cell, path.suffix) for line, cell in zip(lines, labels, strict=False)]
    else:
        labels = [[_label(f"{line}: label", cell)] for line, cell in zip(lines, labels, strict=False)]
    return columns, list(zip(lines, labels, strict=False))


def _listed(where: str, value: Any, suffix: str) -> list[str]:
    """The labels of a row of a multi-label task: a list, or `a|b` in a CSV or TSV file; none if it is empty."""
    if value is None:
        return []
    if isinstance(value, str) and suffix in (".csv", ".tsv"):
        value = value.split("|")
    if not isinstance(value, list):
        raise DataError(f"{where} is {value!r:.40}; need a list of labels")
    if any(label is None or not str(label).strip() for label in value):
        raise DataError(f"{where} has an empty label; remove it")
    return [_label(where, label) for label in value]


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


def _number(label: str) -> float | None:
    try:
        return None if "_" in label else float(label)
    except ValueError:
        return None


def _is_regression(labels: Labels) -> bool:
    """Whether all labels are numbers and some have a fraction. Raises DataError if only some are numbers."""
    numbers = [None if WHOLE_NUMBER.fullmatch(label) else _number(label) for _, label in labels]
    if not any(n is not None and math.isfinite(n) and (n % 1 or abs(n) >= LARGEST_LABEL) for n in numbers):
        return False
    for line, label in labels:
        number = _number(label)
        where = f"{line}: label is {label}"
        if number is None:
            raise DataError(
                f"{where}, but others are numbers with a decimal point; correct it, or use words for classes"
            )
        if not abs(number) < LARGEST_LABEL:
            raise DataError(f"{where}; need a finite number below {LARGEST_LABEL:.0e}: correct or scale the labels")
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
    if not classes:
        raise DataError(f"{train}: no row has a label; need at least two labels")
    if len(classes) < 2:
        raise DataError(f"{train}: only one class {next(iter(classes))!r}; need at least two")
    alike: dict[str, str] = {}
    for name in sorted(classes):
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if alike.setdefault(key, name) != name:
            print(f"{train}: labels {alike[key]!r} and {name!r} are two classes; make them one?", file=sys.stderr)
    if all(WHOLE_NUMBER.fullmatch(name) for name in classes):
        return sorted(classes, key=lambda name: (int(name), name))
    return sorted(classes)
