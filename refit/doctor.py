"""Find what is not set up, and what a kill, a full disk or a bad disk has broken in this project; fix the latter.

python -m refit.doctor          reports the problems; exit code 65 if there are any
python -m refit.doctor --fix    fixes them

No fix loses the user's work: only state that DVC or git can make again is removed or restored.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

from refit import repo
from refit.errors import DataError, UsageError
from refit.repo import try_git
from refit.stage import bar, run

DVC = Path(".dvc")
LOCK_FILE = Path("dvc.lock")
EXPERIMENTS = DVC / "tmp" / "exps"


@dataclass(frozen=True)
class Problem:
    """A problem, a description of its fix, and the function that applies it; None if only the user can fix it."""

    what: str
    cure: str
    fix: Callable[[], object] | None


def setup() -> Iterator[Problem]:
    """What the user has to set up: a git repository, a git identity, and the Python that DVC starts stages with."""
    try:
        repo.check_repository()
    except UsageError as error:
        yield Problem(str(error), "", None)
    if try_git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT") is None:
        cure = "run: git config --global user.name NAME, git config --global user.email ADDRESS"
        yield Problem("git does not know your name, which dvc exp run needs", cure, None)
    python = shutil.which("python3")
    if python is None or subprocess.run([python, "-c", "import refit"], capture_output=True).returncode:
        what = f"DVC starts the stages with python3, here {python or 'missing'}, which lacks refit's packages"
        yield Problem(what, "activate the environment: source .venv/bin/activate", None)


def lock_file() -> Iterator[Problem]:
    """A dvc.lock truncated by a full disk, with which every DVC command fails."""
    if not LOCK_FILE.exists():
        return
    with suppress(ValueError):
        content = repo.parse_yaml(LOCK_FILE.read_bytes())
        if isinstance(content, dict) and "schema" in content and isinstance(content.get("stages"), dict):
            return
    cure = "restored from the last commit, or removed if it has none; DVC reruns stages or takes them from its cache"
    is_committed = try_git("cat-file", "-e", "HEAD:dvc.lock") is not None
    fix = partial(repo.git, "checkout", "HEAD", "--", LOCK_FILE) if is_committed else LOCK_FILE.unlink
    yield Problem(f"{LOCK_FILE} is damaged", cure, fix)


def read_write_lock() -> Iterator[Problem]:
    """DVC's list of processes that read and write outs: truncated, or naming dead processes."""
    processes = psutil.process_iter(["status"])
    running = {process.pid for process in processes if process.info["status"] != psutil.STATUS_ZOMBIE}
    for path in filter(Path.is_file, (DVC / "tmp" / "rwlock", *EXPERIMENTS.glob("**/rwlock"))):
        content = path.read_text(encoding="utf-8", errors="replace")
        dead = {int(owner) for owner in re.findall(r'"pid": (\d+)', content)} - running
        what = f"is held by dead processes ({', '.join(map(str, sorted(dead)))})" if dead else ""
        try:
            json.loads(content or "{}")
        except ValueError:
            what = "is damaged"
        if what:
            yield Problem(f"{path} {what}", "removed; DVC writes it again", path.unlink)


def site_database() -> Iterator[Problem]:
    """DVC's database of file hashes, outside the project: if damaged, every DVC command fails without naming it."""
    from dvc.repo import Repo

    project = Repo.__new__(Repo)
    with suppress(Exception):  # opening a damaged database fails, after DVC has found out where it is
        Repo.__init__(project, os.curdir)
    for path in sorted(Path(project.site_cache_dir).rglob("*.db")):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            verdict = str(error)
        if verdict != "ok":
            fix = partial(shutil.rmtree, path.parent)
            yield Problem(f"{path} is damaged ({verdict})", "removed; DVC fills it", fix)


def cache_objects() -> Iterator[Problem]:
    """Objects of the DVC cache whose MD5 is not their name; DVC does not check write-protected ones."""
    objects = [path for path in (DVC / "cache" / "files" / "md5").glob("??/*") if path.is_file()]
    for path in bar(objects, desc="doctor: DVC cache", unit="objects"):
        name = path.parent.name + path.name.removesuffix(".dir")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != name:
            what = f"{path} is damaged (md5 {found[:8]}.. is not {name[:8]}..)"
            yield Problem(what, "removed; dvc repro makes it again", path.unlink)


def experiment_refs() -> Iterator[Problem]:
    """Refs that a killed `dvc exp run` left, and the detached HEAD that it worked on."""
    here = str(Path.cwd())
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        if (process.info["cwd"] or "").startswith(here) and any(Path(part).name == "dvc" for part in command[:2]):
            return  # an experiment may be running
    left = (try_git("for-each-ref", "--format=%(refname)", "refs/exps/exec/EXEC_*") or "").split()
    # DVC leaves EXEC_HEAD after every run.
    if not any(name.endswith(("EXEC_BASELINE", "EXEC_MERGE")) for name in left):
        return
    branch = (try_git("rev-parse", "--abbrev-ref", "@{-1}") or "").strip()  # the one before the current commit
    if branch and try_git("symbolic-ref", "--quiet", "HEAD") is None:
        yield Problem(
            f"git is on no branch since an experiment was killed; it was on {branch}",
            f"back on {branch}, with your files unchanged",
            lambda: (repo.git("symbolic-ref", "HEAD", f"refs/heads/{branch}"), repo.git("reset", "--quiet")),
        )
    for name in left:
        yield Problem(f"{name} is left of a killed experiment", "removed", partial(repo.git, "update-ref", "-d", name))


def temporary_folders() -> Iterator[Problem]:
    """Copies of the project left by killed `--temp` and queued experiments."""
    in_use = {Path(process.info["cwd"] or os.devnull) for process in psutil.process_iter(["cwd"])}
    for folder in sorted([*EXPERIMENTS.glob("tmp*"), *EXPERIMENTS.glob("standalone/tmp*")]):
        if folder.is_dir() and not any(used.is_relative_to(folder.resolve()) for used in in_use):
            yield Problem(f"{folder} is left of a killed experiment", "removed", partial(shutil.rmtree, folder))


def main() -> None:
    """Print every problem, and fix it with --fix. Raises DataError if problems remain."""
    parser = argparse.ArgumentParser(prog="python -m refit.doctor", description="Find and fix what is broken.")
    parser.add_argument("--fix", action="store_true", help="fix what is found")
    arguments = parser.parse_args()
    checks = (setup, lock_file, read_write_lock, site_database, cache_objects, experiment_refs, temporary_folders)
    problems, left = [problem for check in checks for problem in check()], []
    for problem in problems:
        if problem.fix and arguments.fix:
            problem.fix()
            print(f"fixed: {problem.what}: {problem.cure}")
        else:
            left.append(problem)
            cure = f"--fix: {problem.cure}" if problem.fix else problem.cure
            print("; ".join(filter(None, (f"found: {problem.what}", cure))))
    if not problems:
        print("no problems found")
    if left:
        cure = "run: python -m refit.doctor --fix" if any(problem.fix for problem in left) else "see above for the fix"
        raise DataError(f"problems found: {len(left)}; {cure}")


if __name__ == "__main__":
    run("doctor", main, record=False)
