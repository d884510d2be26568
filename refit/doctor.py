"""Find what is not set up, and what a kill, a full disk or a bad disk left broken in this project; fix the latter.

python -m refit.doctor          says what is wrong; exit code 65 if anything is
python -m refit.doctor --fix    fixes it

No fix loses anything of the user's: state that DVC or git can make again is removed or restored, and a damaged
object of the cache is set aside, so that DVC makes it again instead of handing it out.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from refit import paths, repo
from refit.errors import DataError, UsageError
from refit.stage import bar, run

DVC = Path(".dvc")
LOCK_FILE = Path("dvc.lock")


@dataclass(frozen=True)
class Problem:
    """Something wrong, the cure in words, and the function that does it; None where only the user can."""

    what: str
    cure: str
    fix: Callable[[], object] | None


def diagnose() -> list[Problem]:
    """Every problem of the project in the current folder."""
    checks = (setup, lock_file, read_write_lock, site_database, cache_objects, experiment_refs, temporary_folders)
    return [problem for check in checks for problem in check()]


def setup() -> Iterator[Problem]:
    """What the user sets up: git, with a name for commits, and the environment that DVC starts the stages in."""
    try:
        repo.check_repository()
    except UsageError as error:
        yield Problem(str(error), "", None)
    if _git("-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT").returncode:
        cure = "run: git config --global user.name NAME, git config --global user.email ADDRESS"
        yield Problem("git does not know your name, which dvc exp run needs", cure, None)
    if not os.access(os.curdir, os.W_OK):
        yield Problem(f"{Path.cwd()} cannot be written", "check its owner, its permissions and the disk", None)
    python = shutil.which("python3")
    if python is None or subprocess.run([python, "-c", "import refit"], capture_output=True).returncode:
        what = f"DVC starts the stages with python3, here {python or 'not there'}, which lacks refit's packages"
        yield Problem(what, "activate the environment: source .venv/bin/activate", None)


def lock_file() -> Iterator[Problem]:
    """A dvc.lock that a full disk cut short: DVC refuses to do anything."""
    if not LOCK_FILE.exists():
        return
    try:
        content = YAML(typ="safe").load(LOCK_FILE.read_bytes())
        is_whole = isinstance(content, dict) and content.get("schema") == "2.0" and isinstance(content["stages"], dict)
    except (YAMLError, KeyError, UnicodeDecodeError):
        is_whole = False
    if not is_whole:
        committed = _git("cat-file", "-e", "HEAD:dvc.lock").returncode == 0
        if committed:
            cure = "taken from the last commit; DVC reruns, or finds in its cache, what came after"
            yield Problem(f"{LOCK_FILE} is damaged", cure, lambda: _git("checkout", "HEAD", "--", str(LOCK_FILE)))
        else:
            yield Problem(f"{LOCK_FILE} is damaged", "removed; dvc repro writes it anew", LOCK_FILE.unlink)


def read_write_lock() -> Iterator[Problem]:
    """A list of who reads and writes which out, cut short, or naming processes that are dead."""
    for path in (DVC / "tmp" / "rwlock", *(DVC / "tmp" / "exps").glob("**/rwlock")):
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8") or "null")
            owners = set(re.findall(r'"pid": (\d+)', json.dumps(content)))
        except ValueError:
            yield Problem(f"{path} is damaged", "removed; DVC writes it anew", path.unlink)
            continue
        dead = sorted(int(owner) for owner in owners if not _is_running(int(owner)))
        if dead:
            shown = ", ".join(map(str, dead))
            yield Problem(f"{path} is held by dead processes ({shown})", "removed; DVC writes it anew", path.unlink)


def site_database() -> Iterator[Problem]:
    """DVC's database of hashes outside of the project; damaged, every command ends in one general error."""
    import sqlite3

    for path in sorted(path for folder in _site_cache() for path in folder.rglob("*.db")):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                verdict = connection.execute("PRAGMA quick_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            verdict = str(error)
        if verdict != "ok":
            yield Problem(f"{path} is damaged ({verdict})", "removed; DVC fills it anew", _remover(path.parent))


def _site_cache() -> list[Path]:
    """Where DVC keeps this project's databases; noted on the way, as DVC dies when it opens a damaged one."""
    from dvc.repo import Repo

    noted: list[Path] = []

    class NotingRepo(Repo):  # type: ignore[misc]
        @property
        def site_cache_dir(self) -> str:
            noted.append(Path(super().site_cache_dir))
            return str(noted[-1])

    with suppress(Exception):
        NotingRepo(os.curdir)
    return noted[:1]


def cache_objects() -> Iterator[Problem]:
    """Objects of the DVC cache whose content is not their name. DVC takes a write-protected one on trust."""
    objects = [path for path in (DVC / "cache" / "files" / "md5").glob("??/*") if path.is_file()]
    for path in bar(objects, desc="doctor: DVC cache", unit="objects"):
        expected = path.parent.name + path.name.removesuffix(".dir")
        if len(expected) != 32:
            if path.suffix == ".tmp" or "." in path.name:
                yield Problem(f"{path} is half of an object", "removed", path.unlink)
            continue
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != expected:
            yield Problem(
                f"{path} is damaged (md5 {found[:8]}.. is not {expected[:8]}..)",
                "set aside in .refit/damaged; dvc repro makes it again",
                _setter_aside(path, expected),
            )


def _setter_aside(path: Path, name: str) -> Callable[[], None]:
    def set_aside() -> None:
        place = Path(".refit/damaged")
        place.mkdir(parents=True, exist_ok=True)
        os.replace(path, place / name)
        _forget_runs_with(name)

    return set_aside


def _forget_runs_with(name: str) -> None:
    """Remove the run cache's entries that promise an object, so that DVC runs the stage and does not look for it."""
    for entry in (DVC / "cache" / "runs").glob("*/*/*"):
        if entry.is_file() and name in entry.read_text(encoding="utf-8", errors="replace"):
            entry.unlink()


def experiment_refs() -> Iterator[Problem]:
    """Refs that a killed `dvc exp run` left, and the detached HEAD that it worked on."""
    if any(_is_dvc(process) for process in psutil.process_iter(["cmdline", "cwd"])):
        return
    listed = _git("for-each-ref", "--format=%(refname)", "refs/exps/exec").stdout.split()
    left = [name for name in listed if "EXEC_" in name]
    # EXEC_HEAD alone stays after every run.
    if not any(name.endswith(("EXEC_BASELINE", "EXEC_MERGE")) for name in left):
        return
    is_detached = _git("symbolic-ref", "--quiet", "HEAD").returncode != 0
    branch = _last_branch() if is_detached and left else None
    if branch:
        yield Problem(
            f"git is on no branch since an experiment was killed; it was on {branch}",
            f"back on {branch}, with your files as they are",
            lambda: (_git("symbolic-ref", "HEAD", f"refs/heads/{branch}"), _git("reset", "--quiet")),
        )
    for name in left:
        yield Problem(f"{name} is left of a killed experiment", "removed", _ref_remover(name))


def _last_branch() -> str | None:
    """The branch that HEAD left for the experiment: the newest of the reflog whose commit HEAD still has."""
    for line in _git("reflog", "show", "--format=%gs", "HEAD").stdout.splitlines():
        moved = re.match(r"checkout: moving from (\S+) to ", line)
        if moved and _git("show-ref", "--verify", "--quiet", f"refs/heads/{moved[1]}").returncode == 0:
            return moved[1]
    branches = _git("for-each-ref", "--points-at", "HEAD", "--format=%(refname:short)", "refs/heads").stdout.split()
    return branches[0] if len(branches) == 1 else None


def temporary_folders() -> Iterator[Problem]:
    """Copies of the project that killed `--temp` and queued experiments left, and half-written outs."""
    in_use = {str(process.info["cwd"]) for process in psutil.process_iter(["cwd"])}
    for place in (DVC / "tmp" / "exps", DVC / "tmp" / "exps" / "standalone"):
        for folder in sorted(place.glob("tmp*")):
            inside = str(folder.resolve())
            if folder.is_dir() and not any(cwd == inside or cwd.startswith(inside + os.sep) for cwd in in_use):
                yield Problem(f"{folder} is left of a killed experiment", "removed", _remover(folder))
    written = [path for path in vars(paths).values() if isinstance(path, Path)]
    halves = {path for target in written for path in target.parent.glob(f".{target.name}.*.tmp")}
    for path in sorted({*halves, *Path(".refit").glob("**/.*.tmp")}):
        process = path.name.split(".")[-2]
        if process.isdigit() and not psutil.pid_exists(int(process)):
            yield Problem(f"{path} is left of a killed stage", "removed", _remover(path))


def _remover(path: Path) -> Callable[[], None]:
    def remove() -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    return remove


def _ref_remover(name: str) -> Callable[[], object]:
    return lambda: _git("update-ref", "-d", name)


def _is_running(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _is_dvc(process: psutil.Process) -> bool:
    """Whether a process is a DVC command at work in this project."""
    command = process.info["cmdline"] or []
    inside = str(process.info["cwd"] or "").startswith(str(Path.cwd()))
    return inside and any(Path(part).name == "dvc" for part in command[:2])


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


def main() -> None:
    """Print every problem, and fix them if asked to. Raises DataError when problems are left."""
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
        print("all is well")
    if left:
        cure = "run: python -m refit.doctor --fix" if any(problem.fix for problem in left) else "see above for the cure"
        raise DataError(f"problems found: {len(left)}; {cure}")


if __name__ == "__main__":
    run("doctor", main, record=False)
