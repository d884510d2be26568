"""A copy of the repository in which one experiment runs.

`dvc exp run` edits the folder that it is called in, also with `--temp`: it stashes what is not committed, writes the
params, and resets. A kill in these seconds, or a person who edits a file in them, would lose work. So the experiment
is run in a clone that shares the cache and the saved states; its result is fetched, and the clone is thrown away.
"""

import os
import shutil
import subprocess
from pathlib import Path

from ruamel.yaml import YAML

from refit import paths
from refit.errors import DataError

COPIES = Path(".dvc/tmp/exps")  # where DVC keeps its own, and `refit.doctor` looks for those that a kill left
LOCK = Path("dvc.lock")


def make(name: str) -> Path:
    """The copy for an experiment: the last commit, the changes since then that git knows of, and this one's cache."""
    here, copy = Path.cwd(), place(name)
    remove(name)
    copy.parent.mkdir(parents=True, exist_ok=True)
    _run("git", "clone", "--quiet", "--shared", "--no-checkout", here, copy)
    _run("git", "checkout", "--quiet", "--detach", _run("git", "rev-parse", "HEAD").strip(), cwd=copy)
    changes = copy / ".git/changes"  # a file: line ends in a pipe would not be kept as they are
    as_git_wants = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
    _run("git", "diff", *as_git_wants, f"--output={changes.resolve()}", "HEAD")
    if changes.stat().st_size:
        _run("git", "apply", "--index", "--whitespace=nowarn", changes.resolve(), cwd=copy)
    for key in ("user.name", "user.email"):
        if value := _run("git", "config", "--default", "", key).strip():
            _run("git", "config", key, value, cwd=copy)
    local = here / ".dvc/config.local"
    if local.is_file():
        shutil.copy2(local, copy / ".dvc/config.local")
    cache = cache_folder()
    _run("dvc", "config", "--local", "cache.dir", cache, cwd=copy)
    states = here / paths.state_folder().name
    states.mkdir(exist_ok=True)
    os.symlink(states, copy / states.name)
    with (copy / ".git/info/exclude").open("a") as file:
        file.write(f"/{states.name}\n")
    if not is_whole(copy / LOCK, cache):  # the stages are then taken from the run cache, or run
        (copy / LOCK).unlink(missing_ok=True)
    return copy


def place(name: str) -> Path:
    """Where the copy for an experiment lies."""
    return COPIES / f"tmp-{name}"


def fetch(name: str) -> None:
    """Take the experiment over from its copy, if it came to its end there."""
    copy = place(name)
    if (copy / ".git").is_dir():
        found = _run("git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}", cwd=copy).split()
        if found:
            _run("git", "fetch", "--quiet", copy, *(f"+{reference}:{reference}" for reference in found))


def remove(name: str) -> None:
    """Throw the copy away."""
    shutil.rmtree(place(name), ignore_errors=True)


def is_whole(lock: Path, cache: Path) -> bool:
    """Whether the cache has every out that a dvc.lock names; DVC breaks an experiment off at one that it lacks."""
    stages = (YAML(typ="safe").load(lock) or {}).get("stages", {}) if lock.is_file() else {}
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    hashes = [out["md5"] for out in outs if out["path"] != str(paths.SCORES)]  # the scores are in git
    return all((cache / "files/md5" / md5[:2] / md5[2:]).exists() for md5 in hashes)


def cache_folder() -> Path:
    """Where DVC keeps the outs of this repository."""
    return Path(_run("dvc", "cache", "dir").strip())


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    """What a command prints. Raises DataError with its last line when it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"ended with code {done.returncode}"])[-1]
        raise DataError(f"{command[0]} {command[1]} for the copy of an experiment: {said}")
    return done.stdout
