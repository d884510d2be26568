"""A temporary clone of the repository in which one experiment runs.

`dvc exp run` edits the folder that it is called in for some seconds, even with `--temp`: a kill, or a user who edits a
file meanwhile, would lose work. The clone shares the cache and the saved training states.
"""

import os
import shutil
from pathlib import Path

from refit import paths, repo

COPIES = Path(".dvc/tmp/exps")  # where DVC keeps its own; refit.doctor removes those that a kill left there


def make(name: str) -> Path:
    """Clone the last commit, apply the changes since then that git tracks, share the cache; returns the folder.

    Raises DataError.
    """
    here, copy = Path.cwd(), place(name)
    remove(name)
    copy.parent.mkdir(parents=True, exist_ok=True)
    repo.git("clone", "--quiet", "--shared", "--no-checkout", here, copy)
    repo.git("checkout", "--quiet", "--detach", repo.git("rev-parse", "HEAD").strip(), cwd=copy)
    if changes := repo.git("stash", "create").strip():  # a commit that no ref names; the clone shares git's objects
        repo.git("restore", "--source", changes, "--staged", "--worktree", ".", cwd=copy)
    for key in ("user.name", "user.email"):
        if value := repo.git("config", "--default", "", key).strip():
            repo.git("config", key, value, cwd=copy)
    local = here / ".dvc/config.local"
    if local.is_file():
        shutil.copy2(local, copy / ".dvc/config.local")
    cache = Path(repo.command("dvc", "cache", "dir").strip())
    repo.command("dvc", "config", "--local", "cache.dir", cache, cwd=copy)
    states = here / paths.state_folder().name
    states.mkdir(exist_ok=True)
    os.symlink(states, copy / states.name)
    with (copy / ".git/info/exclude").open("a") as file:
        file.write(f"/{states.name}\n")
    lock = copy / "dvc.lock"
    if not _has_all_outs(lock, cache):  # without the lock, DVC takes stages from the run cache or runs them
        lock.unlink(missing_ok=True)
    return copy


def place(name: str) -> Path:
    """The folder of the clone for an experiment."""
    return COPIES / f"tmp-{name}"


def fetch(name: str) -> None:
    """Fetch the experiment from its clone, if it has finished there."""
    if (place(name) / ".git").is_dir():
        repo.git("fetch", "--quiet", place(name), f"+refs/exps/*/{name}:refs/exps/*/{name}")


def remove(name: str) -> None:
    """Remove the clone."""
    shutil.rmtree(place(name), ignore_errors=True)


def _has_all_outs(lock: Path, cache: Path) -> bool:
    """Whether the cache has every out that a dvc.lock names; `dvc exp run` fails if one is missing."""
    stages = (repo.parse_yaml(lock.read_bytes()) or {}).get("stages", {}) if lock.is_file() else {}
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    hashes = [out["md5"] for out in outs if out["path"] != str(paths.SCORES)]  # the scores are in git
    return all((cache / "files/md5" / md5[:2] / md5[2:]).exists() for md5 in hashes)
