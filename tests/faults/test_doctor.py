"""refit.doctor finds and fixes what kills and full or bad disks leave of DVC's state; then the pipeline runs again."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from conftest import clone, environment, run

from refit.storage import files


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC project of one quick stage in a clone of this repository, run once and committed."""
    project = clone(tmp_path_factory.mktemp("doctor") / "project")
    (project / "source.txt").write_text("words\n")
    (project / "dvc.yaml").write_text(
        "stages:\n  copy:\n    cmd: python -c \"import os,shutil; os.makedirs('data/out'); "
        "shutil.copy('source.txt','data/out/copy.txt')\"\n    deps: [source.txt]\n    outs: [data/out]\n"
    )
    (project / "dvc.lock").unlink(missing_ok=True)
    run("dvc", "config", "core.site_cache_dir", str(project.parent / "site"), cwd=project)
    run("dvc", "repro", cwd=project)
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "one stage", cwd=project)
    return project


@pytest.fixture
def project(small: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(small, folder, symlinks=True)
    run("dvc", "config", "core.site_cache_dir", str(tmp_path / "site"), cwd=folder)
    run("git", "commit", "--quiet", "--all", "--message", "another site cache", cwd=folder)
    run("dvc", "status", cwd=folder)
    return folder


def doctor(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "refit.doctor", *arguments, cwd=project, check=False)


def found_and_fixed(project: Path, *wanted: str) -> None:
    """The doctor names the problem, exits with 65, fixes it, finds no more, and dvc repro works."""
    first = doctor(project)
    assert first.returncode == 65, first.stdout + first.stderr
    for text in wanted:
        assert text in first.stdout, first.stdout
    assert first.stderr.splitlines()[-1].endswith("; run: python -m refit.doctor --fix")
    fixed = doctor(project, "--fix")
    assert fixed.returncode == 0, fixed.stdout + fixed.stderr
    assert fixed.stdout.count("fixed: ") == first.stdout.count("found: ")
    again = doctor(project)
    assert (again.returncode, again.stdout) == (0, "no problems found\n"), again.stdout
    run("dvc", "repro", cwd=project)
    assert (project / "data/out/copy.txt").read_text() == "words\n"


def test_a_healthy_project_is_left_alone(project: Path) -> None:
    """Prevents users from fixing what works."""
    run("git", "update-ref", "refs/exps/exec/EXEC_HEAD", "HEAD", cwd=project)  # as DVC leaves it after each experiment
    before = run("git", "status", "--porcelain", cwd=project).stdout
    done = doctor(project, "--fix")
    assert (done.returncode, done.stdout) == (0, "no problems found\n")
    assert run("git", "status", "--porcelain", cwd=project).stdout == before


@pytest.mark.parametrize(
    ("file", "content"), [("dvc.lock", "schema: '2.0'\nsta"), ("dvc.lock", "\x00\x01"), (".dvc/tmp/rwlock", '{"wri')]
)
def test_a_cut_file_of_dvc_is_restored_or_removed(file: str, content: str, project: Path) -> None:
    """Prevents a full disk from blocking every DVC command, also after space was freed."""
    (project / file).write_text(content)
    assert run("dvc", "repro", "--force", cwd=project, check=False).returncode != 0
    found_and_fixed(project, f"{file} is damaged")
    assert run("git", "status", "--porcelain", cwd=project).stdout == ""


@pytest.mark.parametrize("is_zombie", [False, True])
def test_a_lock_of_a_dead_process_is_removed(is_zombie: bool, project: Path) -> None:
    """Prevents DVC from waiting for a lock that nobody holds; for a zombie's as long as the zombie's parent lives."""
    dead = subprocess.Popen(["true"])
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
    if not is_zombie:
        dead.wait()
    held = {str(project / "data/out"): {"write": {"pid": dead.pid, "cmd": "dvc repro"}}}
    (project / ".dvc/tmp/rwlock").write_text(json.dumps(held))
    found_and_fixed(project, f"rwlock is held by dead processes ({dead.pid})")


def test_a_damaged_site_database_is_removed(project: Path) -> None:
    """Prevents every DVC command from failing with: file is not a database."""
    for path in (project.parent / "site").rglob("*.db"):
        path.write_bytes(os.urandom(5000))
    assert run("dvc", "status", cwd=project, check=False).returncode != 0
    found_and_fixed(project, "cache.db is damaged")


@pytest.mark.parametrize("mode", [0o444, 0o644])
@pytest.mark.parametrize("is_linked", [False, True])
def test_the_fix_in_the_error_for_a_damaged_file_works(is_linked: bool, mode: int, project: Path) -> None:
    """Prevents advice that restores damaged bytes from the cache; DVC does not check write-protected objects."""
    path = Path("data/out/copy.txt")
    (stored,) = [path for path in (project / ".dvc/cache/files/md5").glob("??/*") if path.suffix != ".dir"]
    if is_linked:
        run("dvc", "config", "cache.type", "hardlink", cwd=project)
        run("dvc", "checkout", "--relink", cwd=project)
        assert (project / path).samefile(stored)
    for damaged_copy in (stored, project / path):
        damaged_copy.chmod(0o644)
        damaged_copy.write_bytes(b"wrong\n")
        damaged_copy.chmod(mode)
    assert "is damaged (md5" in doctor(project).stdout
    with contextlib.chdir(project):
        fix = str(files.damaged(path, "differs")).partition("; run: ")[2]
    for command in fix.replace(", and then: ", ", ").split(", "):
        run(*command.split(), cwd=project)
    assert (project / path).read_text() == stored.read_text() == "words\n"


def test_what_a_killed_experiment_left_is_removed(project: Path) -> None:
    """Prevents commits on no branch after a killed dvc exp run."""
    branch = run("git", "branch", "--show-current", cwd=project).stdout.strip()
    head = run("git", "rev-parse", "HEAD", cwd=project).stdout.strip()
    for name in ("EXEC_BASELINE", "EXEC_HEAD", "EXEC_MERGE"):
        run("git", "update-ref", f"refs/exps/exec/{name}", head, cwd=project)
    run("git", "checkout", "--quiet", "--detach", cwd=project)
    (project / "notes.txt").write_text("of the user's\n")
    found_and_fixed(project, f"it was on {branch}", "refs/exps/exec/EXEC_HEAD is left of a killed experiment")
    assert run("git", "branch", "--show-current", cwd=project).stdout.strip() == branch
    assert (project / "notes.txt").read_text() == "of the user's\n"


def test_orphaned_folders_are_removed_and_used_ones_are_not(project: Path) -> None:
    """Prevents copies from filling the disk, and the removal of a running experiment."""
    orphan, used = project / ".dvc/tmp/exps/standalone/tmpabc", project / ".dvc/tmp/exps/tmpdef"
    orphan.mkdir(parents=True)
    used.mkdir()
    sleeper = subprocess.Popen(["sleep", "600"], cwd=used, env=environment())
    try:
        found_and_fixed(project, "standalone/tmpabc is left")
        assert used.is_dir()
        assert not orphan.exists()
    finally:
        sleeper.kill()
        sleeper.wait()


def test_what_the_user_has_to_set_up_is_found_and_its_cure_named(project: Path, tmp_path: Path) -> None:
    """Prevents a clean report without .git, identity or environment."""
    venv.create(tmp_path / "bare", symlinks=True)
    path = f"{tmp_path / 'bare/bin'}{os.pathsep}{os.environ['PATH']}"
    alone = {name: value for name, value in environment().items() if not name.startswith("GIT_")}
    alone |= {"PATH": path, "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    shutil.rmtree(project / ".git")
    for arguments in ((), ("--fix",)):
        done = run(sys.executable, "-m", "refit.doctor", *arguments, cwd=project, check=False, env=alone)
        assert done.returncode == 65
        for text in ("get the code with git clone", "git config --global user.name", "source .venv/bin/activate"):
            assert text in done.stdout
        assert done.stderr == "refit doctor: problems found: 3; see above for the fix\n"
    (project / "metrics/details.json").unlink(missing_ok=True)
    for command in ("summary", "compare", "search"):
        done = run(sys.executable, "-m", f"refit.{command}", cwd=project, check=False)
        assert (done.returncode, done.stdout) == (64, "")
        assert "get the code with git clone" in done.stderr
    made = run("make", "repro", cwd=project, check=False)
    assert (made.returncode, made.stdout) == (2, "")
    assert "get the code with git clone" in made.stderr
    assert not (project / ".venv").exists()
