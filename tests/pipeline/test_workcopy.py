"""The clone in which an experiment runs has everything that git tracks, and does not change the workspace."""

from pathlib import Path

import pytest
from conftest import environment, run

from refit.experiments import workcopy
from refit.storage import files


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository with changes of every kind since its last commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    run("git", "init", "--quiet", cwd=folder)
    run("git", "config", "user.name", "who works here", cwd=folder)
    run("dvc", "init", "--quiet", cwd=folder)
    (folder / ".gitignore").write_text("/.refit/\n")
    (folder / "params.yaml").write_bytes(b"lr: 1\r\nseed: 1\r\n")
    (folder / "old.txt").write_text("old")
    run("git", "add", "--all", cwd=folder)
    run("git", "commit", "--quiet", "--message", "first", cwd=folder)
    (folder / "params.yaml").write_bytes(b"lr: 2\r\nseed: 1\r\n")
    (folder / "old.txt").unlink()
    (folder / "new.bin").write_bytes(bytes(range(256)))
    run("git", "add", "new.bin", cwd=folder)
    (folder / "unknown.txt").write_text("git was not told")
    monkeypatch.chdir(folder)
    return folder


def test_the_copy_has_what_git_knows_of_and_shares_the_cache(repository: Path) -> None:
    """Prevents an experiment on other files than those in the workspace."""
    before = run("git", "status", "--porcelain", cwd=repository).stdout
    copy = workcopy.make("trial")
    assert (copy / "params.yaml").read_bytes() == b"lr: 2\r\nseed: 1\r\n"
    assert not (copy / "old.txt").exists()
    assert (copy / "new.bin").read_bytes() == bytes(range(256))
    assert not (copy / "unknown.txt").exists()
    head = run("git", "rev-parse", "HEAD", cwd=repository).stdout
    assert run("git", "rev-parse", "HEAD", cwd=copy).stdout == head
    assert run("git", "config", "user.name", cwd=copy).stdout.strip() == "who works here"
    cache = run("dvc", "cache", "dir", cwd=repository).stdout
    assert run("dvc", "cache", "dir", cwd=copy).stdout == cache
    (copy / ".refit/state").write_text("kept")
    assert ".refit" not in run("git", "status", "--porcelain", cwd=copy).stdout
    assert run("git", "status", "--porcelain", cwd=repository).stdout == before
    workcopy.remove("trial")
    assert not copy.exists()
    assert (repository / ".refit/state").read_text() == "kept"


def test_an_experiment_that_outlived_its_command_is_taken_over(repository: Path) -> None:
    """Prevents its result from being lost with the clone, or computed twice."""
    copy = workcopy.make("trial")
    name = "refs/exps/ab/cdef/trial"
    run("git", "update-ref", name, "HEAD", cwd=copy)
    run("git", "update-ref", "refs/exps/ab/cdef/other", "HEAD", cwd=copy)
    workcopy.fetch("trial")
    there = run("git", "for-each-ref", "--format=%(refname)", "refs/exps", cwd=repository).stdout.split()
    assert there == [name]


def test_a_dvc_lock_whose_outs_are_not_here_is_left_out(repository: Path) -> None:
    """Prevents dvc exp run from failing in a fresh clone, which has the committed dvc.lock and none of its outs."""
    lock = "stages:\n  train:\n    outs:\n    - {path: model, md5: 0123456789.dir}\n"
    (repository / "dvc.lock").write_text(lock)
    run("git", "add", "dvc.lock", cwd=repository)
    assert not (workcopy.make("trial") / "dvc.lock").exists()
    files.write_text(repository / ".dvc/cache/files/md5/01/23456789.dir", "[]")
    assert (workcopy.make("trial") / "dvc.lock").read_text() == lock
