"""Find what is not set up, and what a kill, a full disk or a bad disk has broken in this project; fix the latter.

python -m refit.doctor          reports the problems; exit code 65 if there are any
python -m refit.doctor --fix    fixes them

No fix loses the user's work: only state that DVC or git can make again is removed or restored, and a damaged cache
object is set aside, so that DVC makes it again instead of using it.
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

from refit import paths, repo
from refit.errors import DataError, UsageError
from refit.repo import try_git
from refit.stage import bar, run

DVC = Path(".dvc")
LOCK_FILE = Path("dvc.lock")
EXPERIMENTS = DVC / "tmp" / "exps"
DAMAGED = Path(".refit/damaged")


@dataclass(frozen=True)
class Problem:
    """A problem, a description of its fix, and the function that applies it; None if only the user can fix it."""

    what: str
    cure: str
    fix: Callable[[], object] | None


def diagnose() -> list[Problem]:
    """Every problem of the project in the current folder."""
    checks = (setup, lock_file, read_write_lock, site_database, cache_objects, experiment_refs, temporary_folders)
    return [problem for check in checks for problem in check()]


def setup() -> Iterator[Problem]:
    """What the user has to set up: a git repository, a git identity, and the Python that DVC starts stages with."""
    try:
        repo.check_repository()
    except UsageError as error:
        yield Problem(str(error), "", None)
    if try_git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT") is None:
        cure = "run: git config --global user.name NAME, git config --global user.email ADDRESS"
        yield Problem("git does not know your name, which dvc exp run needs", cure, None)
    if not os.access(os.curdir, os.W_OK):
        yield Problem(f"{Path.cwd()} is not writable", "check its owner, its permissions and the disk", None)
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
        if isinstance(content, dict) and content.get("schema") == "2.0" and isinstance(content.get("stages"), dict):
            return
    if try_git("cat-file", "-e", "HEAD:dvc.lock") is None:
        yield Problem(f"{LOCK_FILE} is damaged", "removed; dvc repro writes it again", LOCK_FILE.unlink)
    else:
        cure = "restored from the last commit; DVC reruns later stages or takes them from its cache"
        restore = partial(repo.git, "checkout", "HEAD", "--", LOCK_FILE)
        yield Problem(f"{LOCK_FILE} is damaged", cure, restore)


def read_write_lock() -> Iterator[Problem]:
    """DVC's list of processes that read and write outs: truncated, or naming dead processes."""
    cure = "removed; DVC writes it again"
    for path in filter(Path.is_file, (DVC / "tmp" / "rwlock", *EXPERIMENTS.glob("**/rwlock"))):
        try:
            content = json.loads(path.read_text(encoding="utf-8") or "null")
        except ValueError:
            yield Problem(f"{path} is damaged", cure, path.unlink)
            continue
        owners = {int(owner) for owner in re.findall(r'"pid": (\d+)', json.dumps(content))}
        dead = ", ".join(str(owner) for owner in sorted(owners) if not _is_running(owner))
        if dead:
            yield Problem(f"{path} is held by dead processes ({dead})", cure, path.unlink)


def site_database() -> Iterator[Problem]:
    """DVC's database of file hashes, outside the project: if damaged, every DVC command fails without naming it."""
    for path in sorted(path for folder in _site_cache() for path in folder.rglob("*.db")):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            verdict = str(error)
        if verdict != "ok":
            yield Problem(f"{path} is damaged ({verdict})", "removed; DVC fills it", partial(_remove, path.parent))


def _site_cache() -> list[Path]:
    """DVC's folder for this project's databases, recorded while DVC opens them, because it fails on a damaged one."""
    from dvc.repo import Repo

    found: list[Path] = []

    class RecordingRepo(Repo):  # type: ignore[misc]
        @property
        def site_cache_dir(self) -> str:
            found.append(Path(super().site_cache_dir))
            return str(found[-1])

    with suppress(Exception):
        RecordingRepo(os.curdir)
    return found[:1]


def cache_objects() -> Iterator[Problem]:
    """Objects of the DVC cache whose MD5 is not their name; DVC does not check write-protected ones."""
    objects = [path for path in (DVC / "cache" / "files" / "md5").glob("??/*") if path.is_file()]
    for path in bar(objects, desc="doctor: DVC cache", unit="objects"):
        name = path.parent.name + path.name.removesuffix(".dir")
        if len(name) != 32:
            if "." in path.name:
                yield Problem(f"{path} is an incomplete object", "removed", path.unlink)
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != name:
            what = f"{path} is damaged (md5 {found[:8]}.. is not {name[:8]}..)"
            yield Problem(what, f"set aside in {DAMAGED}; dvc repro makes it again", partial(_set_aside, path, name))


def _set_aside(path: Path, name: str) -> None:
    """Move an object out of the cache, and remove its entries in the run cache, so that DVC reruns the stage."""
    DAMAGED.mkdir(parents=True, exist_ok=True)
    os.replace(path, DAMAGED / name)
    for entry in (DVC / "cache" / "runs").glob("*/*/*"):
        if entry.is_file() and name in entry.read_text(encoding="utf-8", errors="replace"):
            entry.unlink()


def experiment_refs() -> Iterator[Problem]:
    """Refs that a killed `dvc exp run` left, and the detached HEAD that it worked on."""
    if any(_is_dvc(process) for process in psutil.process_iter(["cmdline", "cwd"])):
        return
    refs = (try_git("for-each-ref", "--format=%(refname)", "refs/exps/exec") or "").split()
    left = [name for name in refs if "EXEC_" in name]
    # DVC leaves EXEC_HEAD after every run.
    if not any(name.endswith(("EXEC_BASELINE", "EXEC_MERGE")) for name in left):
        return
    is_detached = try_git("symbolic-ref", "--quiet", "HEAD") is None
    branch = _last_branch() if is_detached else None
    if branch:
        yield Problem(
            f"git is on no branch since an experiment was killed; it was on {branch}",
            f"back on {branch}, with your files unchanged",
            lambda: (repo.git("symbolic-ref", "HEAD", f"refs/heads/{branch}"), repo.git("reset", "--quiet")),
        )
    for name in left:
        yield Problem(f"{name} is left of a killed experiment", "removed", partial(repo.git, "update-ref", "-d", name))


def _last_branch() -> str | None:
    """The branch that HEAD was on before the experiment: the newest in the reflog that still exists."""
    for line in (try_git("reflog", "show", "--format=%gs", "HEAD") or "").splitlines():
        moved = re.match(r"checkout: moving from (\S+) to ", line)
        if moved and try_git("show-ref", "--verify", "--quiet", f"refs/heads/{moved[1]}") is not None:
            return moved[1]
    listed = try_git("for-each-ref", "--points-at", "HEAD", "--format=%(refname:short)", "refs/heads") or ""
    return listed.strip() if len(listed.split()) == 1 else None


def temporary_folders() -> Iterator[Problem]:
    """Copies of the project left by killed `--temp` and queued experiments, and partly written outs of stages."""
    in_use = {Path(process.info["cwd"] or os.devnull) for process in psutil.process_iter(["cwd"])}
    for place in (EXPERIMENTS, EXPERIMENTS / "standalone"):
        for folder in sorted(place.glob("tmp*")):
            if folder.is_dir() and not any(used.is_relative_to(folder.resolve()) for used in in_use):
                yield Problem(f"{folder} is left of a killed experiment", "removed", partial(_remove, folder))
    written = [path for path in vars(paths).values() if isinstance(path, Path)]
    partly = {path for target in written for path in target.parent.glob(f".{target.name}.*.tmp")}
    for path in sorted({*partly, *Path(".refit").glob("**/.*.tmp")}):
        process = path.name.split(".")[-2]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            yield Problem(f"{path} is left of a killed stage", "removed", partial(_remove, path))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _is_dvc(process: psutil.Process) -> bool:
    """Whether a process is a DVC command running in this project."""
    command = process.info["cmdline"] or []
    inside = str(process.info["cwd"] or "").startswith(str(Path.cwd()))
    return inside and any(Path(part).name == "dvc" for part in command[:2])


def main() -> None:
    """Print every problem, and fix it with --fix. Raises DataError if problems remain."""
    parser = argparse.ArgumentParser(prog="python -m refit.doctor", description="Find and fix what is broken.")
    parser.add_argument("--fix", action="store_true", help="fix what is found")
    arguments = parser.parse_args()
    problems, left = diagnose(), []
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
