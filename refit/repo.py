"""Access to git and DVC: commands, revisions that a user names, their files, and YAML.

Reading a revision never changes the workspace: its files come from git, from DVC's cache or from DVC's remote.
"""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from refit import paths
from refit.errors import DataError, NetworkError, UsageError

WORKSPACE = "workspace"


@dataclass(frozen=True)
class Revision:
    """A commit, a DVC experiment or the workspace.

    `name` is what the user gave, `commit` its 40 hex digits or None for the workspace, `title` the first line of its
    message, and `push` the command that uploads its DVC-tracked files.
    """

    name: str
    commit: str | None
    title: str = ""
    push: str = "dvc push --all-commits"

    def from_git(self, path: Path) -> bytes | None:
        """The content of a file in git, or on disk for the workspace; None if there is no such file."""
        if self.commit is None:
            return path.read_bytes() if path.is_file() else None
        done = subprocess.run(["git", "show", f"{self.commit}:{path.as_posix()}"], capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None

    def from_dvc(self, path: Path) -> bytes:
        """The content of a DVC-tracked file. Raises NetworkError if neither cache nor remote has it."""
        return bytes(self._read(path, lambda tree: tree.cat_file(path.as_posix())))

    def copy_from_dvc(self, path: Path, target: Path) -> None:
        """Copy a DVC-tracked file or folder. Raises NetworkError if neither cache nor remote has it."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._read(path, lambda tree: tree.get(path.as_posix(), str(target), recursive=tree.isdir(path.as_posix())))

    def _read(self, path: Path, read: Callable[[Any], Any]) -> Any:
        try:
            return read(self._dvc)
        except Exception as error:  # of DVC, of the file system or of the remote's client library
            cause: BaseException = error
            while cause.__cause__ or cause.__context__:
                cause = cause.__cause__ or cause.__context__ or cause
            reason = "" if isinstance(cause, FileNotFoundError) else f" ({type(cause).__name__}: {cause})"
            raise NetworkError(
                f"{self.name}: {path} is neither in DVC's cache nor in its remote{reason}; "
                f"run {self.push} where this run was made, or dvc repro in a checkout of it"
            ) from None

    @cached_property
    def _dvc(self) -> Any:
        """With the workspace's remote for every revision: an old commit may name none, or one that has moved."""
        from dvc.api import DVCFileSystem
        from dvc.repo import Repo

        with Repo() as repo:
            name = repo.config["core"].get("remote")
            config = {"remote": {name: repo.config["remote"][name]}} if name else {}
        return DVCFileSystem(".", rev=self.commit, remote=name, config=config)


def command(*words: str | Path, cwd: Path | None = None) -> str:
    """The standard output of a command. Raises DataError."""
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
        reason = next((line for line in lines if line.startswith(("fatal: ", "error: ", "ERROR: "))), lines[-1])
        raise DataError(f"{words[0]} {words[1]}: {reason.partition(': ')[2] or reason}")
    return done.stdout.decode(errors="replace")


def git(*arguments: str | Path, cwd: Path | None = None) -> str:
    """The standard output of a git command. Raises DataError."""
    return command("git", *arguments, cwd=cwd)


def try_git(*arguments: str | Path) -> str | None:
    """The standard output of a git command, or None if it fails."""
    with suppress(DataError):
        return git(*arguments)
    return None


def parse_yaml(content: bytes | str) -> Any:
    """The value of a YAML 1.2 document, in which 2e-05 is a number. Raises ValueError if it is not YAML.

    params.yaml is read by refit.params instead, which knows the line of each key.
    """
    try:
        return YAML(typ="safe").load(content)
    except YAMLError as error:
        raise ValueError(f"not YAML: {error}") from None


def check_repository() -> None:
    """Raise UsageError unless the current folder is in a git repository with a commit."""
    try:
        git("rev-parse", "--verify", "HEAD")
    except DataError as error:
        raise UsageError(
            "need a git repository with a commit; get the code with git clone, or run here: git init, "
            f"git add --all, git commit ({error})"
        ) from None


def resolve(names: list[str]) -> list[Revision]:
    """The revisions to compare, in the order given, each commit under its first name. Raises UsageError.

    A name is anything that git resolves to a commit, a DVC experiment, `workspace`, or a range A..B: the commits in it
    that changed the scores, oldest first. Without names, HEAD is compared with the workspace; so is a single revision.
    """
    if names in ([], [WORKSPACE]):
        names = ["HEAD", WORKSPACE]
    elif len(names) == 1 and ".." not in names[0]:
        names = [*names, WORKSPACE]
    found: dict[str | None, Revision] = {}
    for name in names:
        for revision in _range(name) if ".." in name else [single(name)]:
            found.setdefault(revision.commit, revision)
    return list(found.values())


def single(name: str) -> Revision:
    """The revision with this name. Raises UsageError."""
    check_repository()
    if name == WORKSPACE:
        return Revision(name, None, "the files as they are now")
    if found := try_git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"):
        return Revision(name, found.strip(), _title(found.strip()))
    commit = experiment(name)
    if commit is None:
        raise UsageError(
            f"{name}: no commit, branch, tag or experiment of this name here; see: git log --oneline, dvc exp show"
        )
    return Revision(name, commit, f"an experiment on: {_title(f'{commit}^')}", push=f"dvc exp push origin {name}")


def experiment(name: str) -> str | None:
    """The commit of the DVC experiment with this name, or None; of several, the one based on HEAD, or the newest.

    DVC names the ref of an experiment refs/exps/<base commit, 2 digits>/<the other 38>/<name>.
    """
    listed = git("for-each-ref", "--sort=-committerdate", "--format=%(refname) %(objectname)", f"refs/exps/*/*/{name}")
    commits = dict(line.split(" ") for line in listed.splitlines() if f"/{name} " in line)  # name may be a pattern: "*"
    head = git("rev-parse", "HEAD")
    return commits.get(f"refs/exps/{head[:2]}/{head[2:].strip()}/{name}") or next(iter(commits.values()), None)


def _range(name: str) -> list[Revision]:
    try:
        log = git("log", "--reverse", "--format=%H", "--end-of-options", name, "--", paths.SCORES)
    except DataError as error:
        raise UsageError(f"{name}: need a range of commits, such as main~5..main ({error})") from None
    changed = [Revision(commit[:7], commit, _title(commit)) for commit in log.split()]
    found = [revision for revision in changed if revision.from_git(paths.SCORES) is not None]
    if not found:
        raise UsageError(f"{name}: no commit in this range changed {paths.SCORES}; give a wider range")
    return found


def _title(commit: str) -> str:
    return git("log", "-1", "--format=%s", commit).strip()
