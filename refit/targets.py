"""Where a command may write: never over a file that the user, git or DVC keeps there."""

import os
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from refit.errors import DiskError, UsageError


def path(text: str) -> Path:
    """A path from the command line; shells leave the ~ of --option=~/name as it is."""
    return Path(os.path.expanduser(text))


def checked(option: str, given: Path, is_ours: Callable[[Path], bool]) -> Path:
    """The file that `given` names, links followed, if writing it loses nothing.

    `is_ours` says whether an existing file is one that this command wrote: only that may be replaced. Nothing is
    created here. Raises UsageError, or DiskError where nothing can be written.
    """
    target = Path(os.path.realpath(given))
    there = next(folder for folder in target.parents if os.path.lexists(folder))
    keeper = _keeper(target, there)
    if keeper:
        raise UsageError(f"{option} {given}: {keeper}; choose another place")
    try:
        if target.is_dir():
            raise UsageError(f"{option} {given}: is a folder; need the name of a file")
        if os.path.lexists(target) and not (target.is_file() and is_ours(target)):
            raise UsageError(f"{option} {given}: exists, and refit did not write it; choose another name")
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise DiskError(f"{option} {given}: cannot write to {there} ({error.strerror}); choose another place") from None
    return target


def _keeper(target: Path, there: Path) -> str | None:
    """What else keeps a path: a stage of the DVC project that it is in, or git."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    with suppress(DvcException), Repo(str(there), config={"core": {"no_scm": True}}) as repo:  # also without git
        for out in repo.index.outs:
            place = Path(out.fs_path)
            if target.is_relative_to(place) or place.is_relative_to(target):
                if out.stage.addressing == os.environ.get("DVC_STAGE"):  # its command writes its own outs
                    return None
                return f"is in {place}, an output of the DVC stage {out.stage.addressing}"
    command = ["git", "-C", str(there), "--literal-pathspecs", "ls-files", "--error-unmatch", "--", str(target)]
    with suppress(FileNotFoundError):  # no git: then it tracks nothing
        if subprocess.run(command, capture_output=True).returncode == 0:
            return "is tracked by git"
    return None
