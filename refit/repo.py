"""Revisions that a user names (commits, ranges, experiments, the workspace), and the files of one.

Nothing here writes to the workspace: files that DVC tracks are read where they are stored.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from refit import paths
from refit.errors import NetworkError, UsageError

WORKSPACE = "workspace"


@dataclass(frozen=True)
class Revision:
    """One state of the repository: the name that the user gave, its commit (40 hex; None: the workspace), its title.

    `push` is the command that uploads the files that DVC tracks in it.
    """

    name: str
    commit: str | None
    title: str
    push: str = "dvc push --all-commits"


class Files:
    """The files of one revision."""

    def __init__(self, revision: Revision) -> None:
        self.revision = revision

    def from_git(self, path: Path) -> bytes | None:
        """A file that git tracks, or None where there is none; in the workspace, as it is there."""
        if self.revision.commit is not None:
            return file_at(self.revision.commit, path.as_posix())
        return path.read_bytes() if path.is_file() else None

    def from_dvc(self, path: Path) -> bytes:
        """A file that DVC tracks, from its cache or else its remote. Raises NetworkError where neither has it."""
        return bytes(self._stored(path, lambda tree: tree.cat_file(path.as_posix())))

    def copy_from_dvc(self, path: Path, target: Path) -> None:
        """Copy a file or folder that DVC tracks, as `from_dvc`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._stored(path, lambda tree: tree.get(path.as_posix(), str(target), recursive=tree.isdir(path.as_posix())))

    def names_from_dvc(self, folder: Path) -> list[str]:
        """The names of the files in a folder that DVC tracks, as `from_dvc`."""
        listed = self._stored(folder, lambda tree: tree.ls(folder.as_posix(), detail=False))
        return [Path(path).name for path in listed]

    def _stored(self, path: Path, read: Callable[[Any], Any]) -> Any:
        try:
            return read(self._dvc)
        except Exception as error:
            cause: BaseException = error
            while cause.__cause__ or cause.__context__:
                cause = cause.__cause__ or cause.__context__ or cause
            reason = "" if isinstance(cause, FileNotFoundError) else f" ({type(cause).__name__}: {cause})"
            raise NetworkError(
                f"{self.revision.name}: {path} is neither in DVC's cache nor in its remote{reason}; "
                f"run {self.revision.push} where this run was made, or dvc repro in a checkout of it"
            ) from None

    @cached_property
    def _dvc(self) -> Any:
        from dvc.api import DVCFileSystem

        remote, config = _remote()
        return DVCFileSystem(".", rev=self.revision.commit, remote=remote, config=config)


def resolve(names: list[str]) -> list[Revision]:
    """The revisions that names stand for, in their order, each once.

    A name is what git takes for a commit, a DVC experiment, `workspace`, or a range A..B for the commits in it that
    changed the scores, oldest first; two names of one commit become `a = b`. No name means HEAD and the workspace;
    one that is no range is set against the workspace. Raises UsageError.
    """
    if names in ([], [WORKSPACE]):
        names = ["HEAD", WORKSPACE]
    elif len(names) == 1 and ".." not in names[0]:
        names = [*names, WORKSPACE]
    found: dict[str | None, Revision] = {}
    for name in names:
        for revision in _range(name) if ".." in name else [single(name)]:
            known = found.setdefault(revision.commit, revision)
            if ".." not in name and revision.name not in known.name.split(" = "):
                found[revision.commit] = replace(known, name=f"{known.name} = {revision.name}")
    return list(found.values())


def check_repository() -> None:
    """Raise UsageError unless this folder is in a git repository with a commit."""
    cure = "get the code with git clone, or run here: git init, git add --all, git commit"
    git("rev-parse", "--verify", "HEAD", wanted=f"a git repository with a commit; {cure}")


def git(*arguments: str, wanted: str) -> bytes:
    """What a git command prints. Raises UsageError, saying what was `wanted`, where git fails."""
    done = subprocess.run(["git", *arguments], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ").split("\n")[0]
        raise UsageError(f"need {wanted}" + (f" (git: {said})" if said else ""))
    return done.stdout


def file_at(commit: str, path: str) -> bytes | None:
    """A file that git holds as it is in a commit, or None where that commit has none."""
    done = subprocess.run(["git", "show", f"{commit}:{path}"], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def single(name: str) -> Revision:
    """The revision that one name stands for. Raises UsageError."""
    check_repository()
    if name == WORKSPACE:
        return Revision(name=WORKSPACE, commit=None, title="the files as they are now")
    commit = _commit(name)
    if commit is not None:
        return Revision(name=name, commit=commit, title=_title(commit))
    commit = _experiment(name)
    if commit is None:
        shallow = git("rev-parse", "--is-shallow-repository", wanted="a git repository").strip() == b"true"
        mend = "fetch the history first: git fetch --unshallow" if shallow else "see: git log --oneline, dvc exp show"
        raise UsageError(f"{name}: no commit, branch, tag or experiment of this name; {mend}")
    title = f"an experiment on: {_title(f'{commit}^')}"
    return Revision(name=name, commit=commit, title=title, push=f"dvc exp push origin {name}")


def _commit(name: str) -> str | None:
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _experiment(name: str) -> str | None:
    """The commit of a DVC experiment, which is refs/exps/<the commit it began at, as 2/38 hex>/<name>."""
    lines = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps", wanted="a git repository")
    begun_at = {}
    for line in lines.decode().splitlines():
        reference, commit = line.split(" ")
        parts = reference.split("/")
        if len(parts) == 5 and len(parts[2] + parts[3]) == 40 and parts[4] == name:
            begun_at[parts[2] + parts[3]] = commit
    if len(begun_at) > 1:
        head = _commit("HEAD")
        if head not in begun_at:
            raise UsageError(f"{name}: {len(begun_at)} experiments have this name; give the commit of one instead")
        return begun_at[head]
    return next(iter(begun_at.values()), None)


def _range(name: str) -> list[Revision]:
    command = ("log", "--reverse", "--format=%H", "--end-of-options", name, "--", str(paths.SCORES))
    commits = git(*command, wanted=f"a range of commits, as in main~5..main; got {name}").decode().split()
    changed = [commit for commit in commits if file_at(commit, str(paths.SCORES)) is not None]
    if not changed:
        raise UsageError(f"{name}: no commit in this range changed {paths.SCORES}; give a wider range")
    return [Revision(name=commit[:7], commit=commit, title=_title(commit)) for commit in changed]


def _title(commit: str) -> str:
    return git("log", "-1", "--format=%s", commit, wanted="a commit").decode(errors="replace").strip()


@cache
def _remote() -> tuple[str | None, dict[str, Any]]:
    """The workspace's default remote, for every revision: an old commit may not know of it, or of its new place."""
    from dvc.repo import Repo

    with Repo() as repo:
        name = repo.config["core"].get("remote")
        return name, {"remote": {name: repo.config["remote"][name]}} if name else {}
