"""Revisions in a small git repository: a name must resolve to the commit that the user means."""

import json
from pathlib import Path

import pytest
from conftest import run

from refit import repo
from refit.errors import UsageError


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four commits, of which the first, second and fourth change the scores; a branch, a tag and two experiments."""
    folder = tmp_path_factory.mktemp("repository")
    run("git", "init", "--quiet", "--initial-branch", "main", cwd=folder)
    for number, accuracy in enumerate((0.5, 0.6, 0.6, 0.7), start=1):
        (folder / "metrics").mkdir(exist_ok=True)
        (folder / "metrics/scores.json").write_text(json.dumps({"t": {"test": {"accuracy": accuracy, "rows": 10}}}))
        (folder / "notes.txt").write_text(f"{number}")
        run("git", "add", "--all", cwd=folder)
        run("git", "commit", "--quiet", "--message", f"commit {number}", cwd=folder)
    run("git", "tag", "v1", "HEAD~3", cwd=folder)
    run("git", "branch", "idea", "HEAD~2", cwd=folder)
    for begun_at, name, at in (("HEAD", "lone-wolf", "HEAD~1"), ("HEAD", "twice", "HEAD~1"), ("v1", "twice", "v1")):
        commit = run("git", "rev-parse", begun_at, cwd=folder).stdout.strip()
        run("git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}", at, cwd=folder)
    return folder


@pytest.fixture
def commits(repository: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes, oldest first; the test runs in the repository."""
    monkeypatch.chdir(repository)
    return run("git", "rev-list", "--reverse", "main", cwd=repository).stdout.split()


def found(*names: str) -> list[tuple[str, str | None]]:
    return [(revision.name, revision.commit) for revision in repo.resolve(list(names))]


def test_names_are_what_git_and_dvc_say(commits: list[str]) -> None:
    """Prevents names that mean something else than in git, and an old experiment from standing for the new one."""
    names = ["v1", "idea", commits[2][:8], "main@{0}"]
    assert found(*names) == list(zip(names, commits, strict=True))
    assert found("v1", "lone-wolf")[1] == ("lone-wolf", commits[2])
    assert found("v1", "twice")[1] == ("twice", commits[2])  # of two with this name, the one that is based on HEAD
    # What fetches a missing file: a plain `dvc push` uploads one commit's files only.
    assert repo.single("v1").push == "dvc push --all-commits"
    assert repo.single("twice").push == "dvc exp push origin twice"


def test_one_name_or_none_is_set_against_the_workspace(commits: list[str]) -> None:
    """Prevents a first call without arguments from failing, and a comparison of a run with itself."""
    assert found() == found("workspace") == [("HEAD", commits[3]), ("workspace", None)]
    assert found("v1") == [("v1", commits[0]), ("workspace", None)]


def test_a_range_is_its_commits_that_changed_the_scores(commits: list[str]) -> None:
    """Prevents a table with a line for every edit of a comment."""
    assert found("v1..main") == [(commits[1][:7], commits[1]), (commits[3][:7], commits[3])]
    assert [revision.title for revision in repo.resolve(["v1..main"])] == ["commit 2", "commit 4"]
    assert found("v1", "v1..main")[0] == ("v1", commits[0])


def test_two_names_of_one_commit_are_one_run(commits: list[str]) -> None:
    """Prevents a run from being counted as two."""
    assert found("v1", "HEAD", "main") == [("v1", commits[0]), ("HEAD", commits[3])]


@pytest.mark.parametrize(
    ("names", "said"),
    [(["nosuch"], "nosuch: no commit, branch, tag or experiment"), (["--help"], "--help: no commit"),
     ([""], ": no commit"),
     (["main..v1"], "main..v1: no commit in this range changed metrics/scores.json"),
     (["v1..nosuch"], "v1..nosuch: need a range of commits"), (["HEAD:notes.txt"], "no commit")],
)  # fmt: skip
def test_a_name_of_nothing_says_so(commits: list[str], names: list[str], said: str) -> None:
    """Prevents git's error, or an option, from being taken for a revision."""
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        repo.resolve(names)


def test_outside_git_it_says_what_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a traceback of git."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="need a git repository"):
        repo.resolve([])


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"\x00"])
def test_yaml_is_read_as_dvc_writes_it_and_what_is_none_is_a_value_error(content: bytes) -> None:
    """Prevents the learning rate in dvc.lock from being read as text, and a traceback for a damaged file."""
    assert repo.parse_yaml("a: 2e-05\nb: '2e-05'") == {"a": 2e-05, "b": "2e-05"}
    with pytest.raises(ValueError, match="not YAML"):
        repo.parse_yaml(content)
