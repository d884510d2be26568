"""What a folder between two stages must hold: each file with its rows and SHA-256, checked by whoever reads it.

Arrow notices neither a flipped bit nor a stream that was cut between two batches, so a reader that trusts the
file alone can train on half of the data and say nothing.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refit import paths
from refit.errors import DataError
from refit.storage import files

NAME = "manifest.json"
SEAL = "record_sha256"


def write_record(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object that carries the hash of its own content, as `record_sha256`."""
    files.write_json(path, {**value, SEAL: _seal(value)})


def read_record(path: Path) -> dict[str, Any]:
    """The object that `write_record` wrote.

    Raises FileNotFoundError when it is missing and DataError when it is not what was written.
    """
    try:
        value = files.read_json(path)
        seal = value.pop(SEAL)
    except (ValueError, AttributeError, KeyError, TypeError):
        raise DataError(f"{path} is damaged: not a whole record; {_mend(path.parent)}") from None
    if seal != _seal(value):
        raise DataError(f"{path} is damaged: its content and its own hash differ; {_mend(path.parent)}")
    return dict(value)


@contextmanager
def recorded(folder: Path) -> Iterator[Callable[[str, Mapping[str, Any], str], None]]:
    """Give what to call with the name, figures and SHA-256 of each finished file; the manifest is written at the end.

    A file is brought to disk beside the writing of the next.
    """
    entries = {}
    with ThreadPoolExecutor() as threads:
        flushed = []

        def record(name: str, figures: Mapping[str, Any], sha256: str) -> None:
            path = folder / name
            entries[name] = {**figures, "bytes": path.stat().st_size, "sha256": sha256}
            flushed.append(threads.submit(files.flush_to_disk, path))

        yield record
        for flush in flushed:
            flush.result()
    write_record(folder / NAME, entries)


def write(folder: Path, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Record every named file of `folder` with its figures, size and hash."""
    with recorded(folder) as record, ThreadPoolExecutor() as threads:
        hashes = threads.map(files.sha256, [folder / name for name in figures])
        for (name, of_file), sha256 in zip(figures.items(), hashes, strict=True):
            record(name, of_file, sha256)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The recorded figures of each file, after a check that every file is there and unchanged.

    Raises DataError naming the first file that is not what was written.
    """
    try:
        entries: dict[str, dict[str, Any]] = read_record(folder / NAME)
    except FileNotFoundError:
        raise DataError(f"{folder / NAME} is missing; {_mend(folder)}") from None
    for name, entry in entries.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing; {_mend(folder)}")
        if path.stat().st_size != entry["bytes"]:
            raise DataError(f"{path} has {path.stat().st_size} bytes, {entry['bytes']} were written; {_mend(folder)}")
        check(path, entry["sha256"])
    return entries


def check_model(folder: Path, names: Iterable[str] | None = None) -> None:
    """Check the files of a downloaded model, or the named ones, against its record; raises DataError."""
    try:
        recorded: dict[str, str] = read_record(folder / paths.MODEL_RECORD)["files"]
    except FileNotFoundError:
        raise DataError(f"{folder / paths.MODEL_RECORD} is missing; {_mend(folder)}") from None
    for name in sorted(recorded) if names is None else names:
        if name in recorded:
            check(folder / name, recorded[name])


def check(path: Path, sha256: str) -> None:
    """Raise DataError when a file is missing or its bytes are others than the recorded ones."""
    if not path.is_file():
        raise DataError(f"{path} is missing; {_mend(path.parent)}")
    found = files.sha256(path)
    if found != sha256:
        raise DataError(
            f"{path} differs from what was written (sha256 {found[:8]}.. is not {sha256[:8]}..); {_mend(path.parent)}"
        )


def _seal(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _mend(folder: Path) -> str:
    """DVC trusts its cache, so a damaged copy there has to go too; what is missing altogether it makes again."""
    if not folder.exists():
        return "run: dvc repro"
    return f"run: python -m refit.doctor --fix, rm -r {folder}, and then: dvc repro"
