"""Output paths: what refit wrote may be replaced, what the user, git or DVC keeps may not."""

import os
from pathlib import Path

import pytest
from conftest import run

from refit import targets
from refit.errors import DiskError, UsageError

OURS = "made by refit"


def checked(path: str) -> Path:
    return targets.checked("--out", Path(path), lambda file: file.read_text() == OURS)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of the user's, links to it, and a file of refit's."""
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").write_text("the user's")
    Path("link.txt").symlink_to("notes.txt")
    Path("loop.txt").symlink_to("loop.txt")
    os.link("notes.txt", "hard.txt")
    Path("sub").mkdir()
    Path("ours.txt").write_text(OURS)
    Path("link-to-ours.txt").symlink_to("ours.txt")
    Path("link-to-new.txt").symlink_to("sub/new.txt")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["notes.txt", "sub/../notes.txt", "link.txt", "hard.txt", "loop.txt", "sub", "/dev/null"]
)
def test_a_file_of_the_users_is_refused(name: str) -> None:
    """Prevents a command from replacing a file that is not its own, by whatever name it is given."""
    with pytest.raises(UsageError, match=f"--out {name}: "):
        checked(name)


def test_a_new_file_and_one_of_refits_are_accepted(folder: Path) -> None:
    """Prevents a second run from being refused, a link from being replaced, and a check from leaving anything."""
    before = sorted(folder.rglob("*"))
    assert checked("deep/er/new.txt") == folder / "deep/er/new.txt"
    assert checked("ours.txt") == checked("link-to-ours.txt") == folder / "ours.txt"
    assert checked("link-to-new.txt") == folder / "sub/new.txt"
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["/proc/x.txt", "/proc/a/x.txt", "notes.txt/x.txt", "n" * 300])
def test_a_place_that_cannot_be_written_is_named(name: str) -> None:
    """Prevents hours of work that cannot be saved, and a missing file as the reason."""
    with pytest.raises(DiskError, match="cannot write to"):
        checked(name)


def test_what_git_and_dvc_keep_is_refused(folder: Path) -> None:
    """Prevents a file inside an out, which DVC would delete, and a change in what is committed."""
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", "ours.txt", cwd=folder)
    (folder / ".dvc").mkdir()
    (folder / "dvc.yaml").write_text("stages: {train: {cmd: 'true', outs: [models/finetuned]}}")
    (folder / "data.dvc").write_text("outs: [{path: data}]")
    for name, said in (
        ("ours.txt", "tracked by git"), ("models/finetuned/a.txt", "stage train"), ("models", "stage train"),
        ("data/a.txt", "data.dvc"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=said):
            checked(name)
    assert checked("models/other/a.txt") == folder / "models/other/a.txt"
