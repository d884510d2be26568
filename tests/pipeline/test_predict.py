"""refit.predict killed and resumed, and for a revision whose model was not pushed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, environment, reviews, run, wait_until, write_csv
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from refit.errors import NetworkError
from refit.predict import model_source

PROGRAM = """
import sys, time
from pathlib import Path
from refit.predict import batch
from refit.predict.model_source import FinetunedModel
from refit.predict.predictor import Predictor
batch.WINDOW_ROWS = 10
predictor = Predictor(FinetunedModel("a test", Path(sys.argv[1]), max_length=32))
logits = predictor.logits
def slow(*given):
    time.sleep(float(sys.argv[3]))
    print("window", flush=True)
    return logits(*given)
predictor.logits = slow
batch.write_file(predictor, Path("in.csv"), Path(sys.argv[2]))
"""


def test_a_killed_run_resumes_after_its_last_window(tiny_model: Path, tmp_path: Path) -> None:
    """Prevents the loss of a night's work, and other predictions than those of a run that was not killed."""
    AutoModelForSequenceClassification.from_pretrained(tiny_model).save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "model")
    write_csv(tmp_path / "in.csv", ["text"], [(text,) for text, _ in reviews(90)])

    def start(out: str, pause: float) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "model", out, str(pause)], cwd=tmp_path,
            env=environment(PYTHONPATH=str(ROOT)), stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    killed = start("out.parquet", 0.5)
    wait_until(lambda: len(list(tmp_path.glob(".refit/predict/*/*/*.parquet"))) >= 3, "three windows")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    complete = len(list(tmp_path.glob(".refit/predict/*/*/*.parquet")))
    assert not (tmp_path / "out.parquet").exists()
    output, _ = start("out.parquet", 0).communicate()
    assert output.count("window") == 9 - complete
    start("other.parquet", 0).communicate()
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()
    assert not list(tmp_path.glob(".refit/predict/*"))


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
