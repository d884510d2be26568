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
    """The object that `write_record` wrote.

    Raises FileNotFoundError if the file is missing and DataError if its content differs from what was written.
    """
    try:
        value = files.read_json(path)
        seal = value.pop(SEAL)
    except (ValueError, AttributeError, KeyError, TypeError):
        raise damaged(path, "is damaged: not a complete record") from None
    if seal != _seal(value):
        raise damaged(path, "is damaged: its content and its own hash differ")
    return dict(value)


def write(folder: Path, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Record every named file of `folder` with its figures, size and hash."""
    write_record(folder / NAME, {name: {**of_file, **entry(folder / name)} for name, of_file in figures.items()})


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The recorded figures of each file, after a check that every file is there and unchanged.

    Raises DataError naming the first file that is missing or differs.
    """
    try:
        entries: dict[str, dict[str, Any]] = read_record(folder / NAME)
    except FileNotFoundError:
        raise damaged(folder / NAME, "is missing") from None
    for name, recorded in entries.items():
        if found := problem(folder / name, recorded):
            raise damaged(folder / name, found)
    return entries


def entry(path: Path) -> dict[str, Any]:
    """The size and SHA-256 of a file, as a record holds them."""
    return {"bytes": path.stat().st_size, "sha256": files.sha256(path)}


def problem(path: Path, recorded: Mapping[str, Any]) -> str | None:
    """How a file differs from its recorded size and hash, or None."""
    if not path.is_file():
        return "is missing"
    if "bytes" in recorded and path.stat().st_size != recorded["bytes"]:
        return f"has {path.stat().st_size} bytes, {recorded['bytes']} were written"
    found, wanted = files.sha256(path), recorded["sha256"]
    return None if found == wanted else f"differs from what was written (sha256 {found[:8]}.. is not {wanted[:8]}..)"


def check_model(folder: Path, names: Iterable[str] | None = None) -> None:
    """Check the files of a downloaded model, or the named ones, against its record; raises DataError."""
    try:
        recorded: dict[str, str] = read_record(folder / paths.MODEL_RECORD)["files"]
    except FileNotFoundError:
        raise damaged(folder / paths.MODEL_RECORD, "is missing") from None
    for name in sorted(recorded) if names is None else names:
        if name in recorded:
            check(folder / name, recorded[name])


def check(path: Path, sha256: str) -> None:
    """Raise DataError if a file is missing or its bytes differ from the recorded ones."""
    if found := problem(path, {"sha256": sha256}):
        raise damaged(path, found)


def _seal(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()
