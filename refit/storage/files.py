"""Atomic file writes: a reader sees the old file or the new one, never a part of it."""

import csv
import glob
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from refit.errors import DataError, DiskError


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_to_disk(path: Path) -> None:
    """Make a file's bytes, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step."""
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step: sorted keys, a newline at the end, and no NaN, which JSON does not have."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Replace a CSV file in one step; numbers in full, so that reading them gives the same numbers."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def read_json(path: Path) -> Any:
    """The value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A new folder to fill: it replaces `target` when the block ends, or is removed if the block raises."""
    with replaced_file(target) as staging:
        staging.mkdir()
        yield staging


@contextmanager
def replaced_file(target: Path) -> Iterator[Path]:
    """The path of a new file to write: it replaces `target` when the block ends, or is removed if it raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(target)
    try:
        yield temporary
        for path in (*sorted(temporary.rglob("*")), temporary):
            flush_to_disk(path)
        if temporary.is_dir():
            remove(target)
        os.replace(temporary, target)
        flush_to_disk(target.parent)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def damaged(path: Path, what: str) -> DataError:
    """The error for a file between stages that is missing or differs from what was written, with the fix that works."""
    folder = path.parent  # `dvc repro` alone would restore the file from DVC's cache, whose copy may be damaged, too
    fix = f"python -m refit.doctor --fix, rm -r {folder}, and then: dvc repro" if folder.exists() else "dvc repro"
    return DataError(f"{path} {what}; run: {fix}")


def need_space(folder: Path, wanted: int, what: str) -> None:
    """Raise DiskError, before any work, if the folder's disk has less than `wanted` bytes free for `what`."""
    place = next(path for path in [folder.absolute(), *folder.absolute().parents] if path.is_dir())
    free = shutil.disk_usage(place).free
    if free < wanted:
        raise DiskError(
            f"{what} needs about {wanted / 1e6:,.0f} MB in {folder}, {free / 1e6:,.0f} MB are free; "
            "free some space and run the same command again"
        )


def _temporary(target: Path) -> Path:
    """A name next to `target` that only this process uses; removes what killed processes left there."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        process = left.name.split(".")[-2]
        if process.isdigit() and (int(process) == os.getpid() or not psutil.pid_exists(int(process))):
            remove(left)
    return target.with_name(f".{target.name}.{os.getpid()}.tmp")
