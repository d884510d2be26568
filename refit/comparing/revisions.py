"""What a user names on the command line as the commits it stands for: commits, ranges, experiments, the workspace."""

import subprocess
from dataclasses import dataclass, replace

from refit import paths
from refit.errors import UsageError

WORKSPACE = "workspace"


@dataclass(frozen=True)
class Revision:
    """One state of the repository: the name that the user gave, its commit (40 hex; None: the workspace), its title."""

    name: str
    commit: str | None
    title: str


def resolve(names: list[str]) -> list[Revision]:
    """The revisions that names stand for, in their order, each once.

    A name is what git takes for a commit, a DVC experiment, `workspace`, or a range A..B for the commits in it that
    changed the scores, oldest first; two names of one commit become `a = b`. No name means HEAD and the workspace;
    one that is no range is set against the workspace. Raises UsageError.
    """
    git("rev-parse", "--git-dir", wanted="a git repository; run this in the folder of a clone")
    if names in ([], [WORKSPACE]):
        names = ["HEAD", WORKSPACE]
    elif len(names) == 1 and ".." not in names[0]:
        names = [*names, WORKSPACE]
    found: dict[str | None, Revision] = {}
    for name in names:
        for revision in _range(name) if ".." in name else [_single(name)]:
            known = found.setdefault(revision.commit, revision)
            if ".." not in name and revision.name not in known.name.split(" = "):
                found[revision.commit] = replace(known, name=f"{known.name} = {revision.name}")
    return list(found.values())


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


def _single(name: str) -> Revision:
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
    return Revision(name=name, commit=commit, title=f"an experiment on: {_title(f'{commit}^')}")


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
