"""Check an output path given on the command line: no file of the user, git or DVC may be overwritten."""

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from refit.errors import DiskError, UsageError
from refit.repo import try_git


def checked(option: str, given: Path, is_ours: Callable[[Path], bool], suffixes: Sequence[str] = ()) -> Path:
    """The path of `given`, with links resolved, if writing there loses nothing; nothing is created.

    `is_ours` tells whether this command wrote an existing file: only then it may be replaced. Raises UsageError, also
    for a name that ends in none of `suffixes`, or DiskError if the folder is not writable.
    """
    if suffixes and given.suffix not in suffixes:
        raise UsageError(f"{option} {given}: need a name that ends in {' or '.join(suffixes)}")
    target = Path(os.path.realpath(given))
    folder = next(parent for parent in target.parents if os.path.lexists(parent))
    if taken := _why_taken(target, folder):
        raise UsageError(f"{option} {given}: {taken}; choose another place")
    try:
        if target.is_dir():
            raise UsageError(f"{option} {given}: is a folder; need the name of a file")
        if os.path.lexists(target) and not (target.is_file() and is_ours(target)):
            what = "exists, and refit did not write it, or you may have changed it"
            raise UsageError(f"{option} {given}: {what}; choose another name")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DiskError(f"{option} {given}: cannot write to {folder} ({error.strerror}); choose another") from None
    return target


def _why_taken(target: Path, folder: Path) -> str | None:
    """Why a path is taken: it is inside an output of a DVC stage, contains one, or is tracked by git."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    # no_scm: works without git, too
    with suppress(DvcException), Repo(str(folder), config={"core": {"no_scm": True}}) as repo:
        for out in repo.index.outs:
            place = Path(out.fs_path)
            if target.is_relative_to(place) or place.is_relative_to(target):
                return f"is in {place}, an output of the DVC stage {out.stage.addressing}"
    tracked = try_git("-C", folder, "--literal-pathspecs", "ls-files", "--error-unmatch", "--", target)
    return None if tracked is None else "is tracked by git"
