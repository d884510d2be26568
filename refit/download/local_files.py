"""The user's own files: data/own/NAME/{train,validation,test}.{csv,tsv,jsonl,parquet} with text, [text_pair,] label.

Labels that are words or whole numbers are classes. Numbers of which at least one has a fraction make it a regression.
"""

import math
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa

from refit.data import row_files
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


def load(folder: Path, split_by: SplitBy = "random") -> Loaded:
    """Read and check every file of a task. Raises DataError with the file, the line and the problem.

    If `split_by` is `group` or `time`, the last column of the splits is the files' column of this name.
    """
    sources = _files(folder)
    texts, labels = {}, {}
    for split, path in sources.items():
        texts[split], labels[split] = _read(path, split_by, is_test=split == "test")
    cells = {sources[split]: columns.pop(split_by, []) for split, columns in texts.items()}
    pairs = [str(sources[split]) for split, columns in texts.items() if "text_pair" in columns]
    if 0 < len(pairs) < len(texts):
        raise DataError(
            f"{', '.join(pairs)}: has a column text_pair, the other files lack it; all must have it or none"
        )
    is_regression = _is_regression([label for of_split in labels.values() for label in of_split])
    classes = [] if is_regression else _classes(labels, sources["train"])
    index = {name: position for position, name in enumerate(classes)}
    label_type = pa.float32() if is_regression else pa.int64()
    tables = {}
    for split, columns in texts.items():
        values = [float(label) if is_regression else index[label] for _, label in labels[split]]
        arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        tables[split] = pa.table({**arrays, "label": pa.array(values or [HIDDEN] * len(columns["text"]), label_type)})
    if split_by != "random":
        column_of = split_column.groups if split_by == "group" else split_column.times
        found = zip(tables.items(), column_of(cells), strict=True)
        tables = {split: table.append_column(split_by, column) for (split, table), column in found}
    return Loaded(
        splits=tables, labels=classes, problem_type="regression" if is_regression else "classification",
        revision="own files", files={path.name: files.sha256(path) for path in sources.values()},
    )  # fmt: skip


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


def _read(path: Path, split_by: SplitBy, *, is_test: bool) -> tuple[dict[str, list[Any]], Labels]:
    """The texts of a file by column, and its labels: none of a test file without labels or with an empty column.

    Next to the texts is the column that `split_by` names; its values are with the file and the line.
    """
    required, optional = (("text",), ("text_pair", "label")) if is_test else (("text", "label"), ("text_pair",))
    keys = [] if split_by == "random" else [split_by]
    lines: list[str] = []
    columns: dict[str, list[Any]] = {}
    for line, row in row_files.read(path, [*required, *keys], optional, may_be_empty=["label"] if is_test else []):
        lines.append(f"{path} line {line}")
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    if split_by in columns:
        columns[split_by] = list(zip(lines, columns[split_by], strict=True))
    labels = columns.pop("label", [])
    if all(label is None for label in labels):
        labels = []
    return columns, [(line, _label(f"{line}: label", label)) for line, label in zip(lines, labels, strict=False)]


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
