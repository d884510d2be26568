"""refit.predict for a revision whose model was not pushed."""

from pathlib import Path

import pytest
from conftest import run

from refit.errors import NetworkError
from refit.predict import model_source


def test_a_model_that_was_not_pushed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents DVC's traceback, and a fix that does not help: a plain dvc push uploads one commit's files only."""
    monkeypatch.chdir(tmp_path)
    run("git", "init", "--quiet", cwd=tmp_path)
    run("dvc", "init", "--quiet", cwd=tmp_path)
    Path("params.yaml").write_text("lr: 1\n")
    Path("dvc.yaml").write_text("stages: {train: {cmd: 'true', outs: [models/finetuned]}}\n")
    out = f"{{path: models/finetuned, hash: md5, md5: {'a' * 32}.dir, size: 9, nfiles: 1}}"
    Path("dvc.lock").write_text(f"schema: '2.0'\nstages: {{train: {{cmd: 'true', outs: [{out}]}}}}\n")
    run("git", "add", "--all", cwd=tmp_path)
    run("git", "commit", "--quiet", "--message", "a run", cwd=tmp_path)
    commit = run("git", "rev-parse", "HEAD", cwd=tmp_path).stdout.strip()
    experiment = run("git", "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "a try", cwd=tmp_path).stdout.strip()
    run("git", "update-ref", f"refs/exps/{commit[:2]}/{commit[2:]}/an-experiment", experiment, cwd=tmp_path)
    for name, fix in (("HEAD", "dvc push --all-commits"), ("an-experiment", "dvc exp push origin an-experiment")):
        said = f"{name}: models/finetuned is neither in DVC's cache nor in its remote; run {fix}"
        with pytest.raises(NetworkError, match=said), model_source.find(name):
            pass
