"""What a folder between two stages must hold: each file with its rows and SHA-256, checked by whoever reads it.

Arrow notices neither a flipped bit nor a stream that was cut between two batches, so a reader that trusts the
file alone can train on half of the data and say nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refit import files
from refit.errors import DataError

NAME = "manifest.json"


def write(folder: Path, figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Record every named file of `folder` with its figures (rows at least), size and hash."""
    entries = {
        name: {**of_file, "bytes": (folder / name).stat().st_size, "sha256": files.sha256(folder / name)}
        for name, of_file in figures.items()
    }
    files.write_json(folder / NAME, entries)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The recorded figures of each file, after a check that every file is there and unchanged.

    Raises DataError naming the first file that is not what was written.
    """
    try:
        entries: dict[str, dict[str, Any]] = files.read_json(folder / NAME)
    except FileNotFoundError:
        raise DataError(f"{folder / NAME} is missing; run: dvc repro") from None
    except ValueError:
        raise DataError(f"{folder / NAME} is not readable; {_mend(folder)}") from None
    for name, entry in entries.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing; {_mend(folder)}")
        if path.stat().st_size != entry["bytes"]:
            raise DataError(f"{path} has {path.stat().st_size} bytes, {entry['bytes']} were written; {_mend(folder)}")
        found = files.sha256(path)
        if found != entry["sha256"]:
            raise DataError(
                f"{path} differs from its manifest (sha256 {found[:8]}.. is not {entry['sha256'][:8]}..); "
                f"{_mend(folder)}"
            )
    return entries


def _mend(folder: Path) -> str:
    return f"remove {folder} and run: dvc repro --force"
