"""The manifest of a folder between two stages: each file with its figures, size and SHA-256, checked by every reader.

Arrow notices neither a flipped bit nor a stream that was cut between two batches, so a reader that trusts the file
alone could train on half of the data without a warning.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from refit import paths
from refit.storage import files
from refit.storage.files import damaged

NAME = "manifest.json"
SEAL = "record_sha256"


def write_record(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object that carries the hash of its own content, as `record_sha256`."""
    files.write_json(path, {**value, SEAL: _seal(value)})


def read_record(path: Path) -> dict[str, Any]:
    """The object that `write_record` wrote. Raises DataError if it is missing or differs from what was written."""
    try:
        value = files.read_json(path)
        seal = value.pop(SEAL)
    except FileNotFoundError:
        raise damaged(path, "is missing") from None
    except (ValueError, AttributeError, KeyError, TypeError):
        raise damaged(path, "is damaged: not a complete record") from None
    if seal != _seal(value):
        raise damaged(path, "is damaged: its content and its own hash differ")
    return dict(value)


def write(folder: Path, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Record every named file of `folder` with its figures, size and hash."""
    entries = {}
    for name, of_file in figures.items():
        path = folder / name
        entries[name] = {**of_file, "bytes": path.stat().st_size, "sha256": files.sha256(path)}
    write_record(folder / NAME, entries)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The recorded figures of each file, after a check that every file is there and unchanged. Raises DataError."""
    entries: dict[str, dict[str, Any]] = read_record(folder / NAME)
    for name, recorded in entries.items():
        check(folder / name, recorded["sha256"], recorded["bytes"])
    return entries


def check_model(folder: Path, names: Iterable[str] | None = None) -> None:
    """Check the files of a downloaded model, or the named ones, against its record; raises DataError."""
    recorded: dict[str, str] = read_record(folder / paths.MODEL_RECORD)["files"]
    for name in names or sorted(recorded):
        if name in recorded:
            check(folder / name, recorded[name])


def check(path: Path, sha256: str, size: int | None = None) -> None:
    """Raise DataError if a file is missing, or differs from its recorded hash or size."""
    if not path.is_file():
        raise damaged(path, "is missing")
    if size is not None and path.stat().st_size != size:
        raise damaged(path, f"has {path.stat().st_size} bytes, {size} were written")
    found = files.sha256(path)
    if found != sha256:
        raise damaged(path, f"differs from what was written (sha256 {found[:8]}.. is not {sha256[:8]}..)")


def _seal(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
