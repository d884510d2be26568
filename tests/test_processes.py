"""Training by several processes: the same run as by one, whichever process dies on the way."""

import csv
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import change_params, environment, run, tiny_project

from refit.training import processes

pytestmark = pytest.mark.slow


def without_dropout(model: Path, target: Path) -> Path:
    """The model's folder with no dropout: its random numbers are drawn by each process for itself."""
    import json
    import shutil

    shutil.copytree(model, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.0}))
    return target


def sampled(folder: Path, model: Path, **changes: object) -> Path:
    """A clone with all that train needs: 32 rows, so that each batch of 8 is whole."""
    tiny_project(folder, model, train_rows=32, **changes)
    run("dvc", "repro", "sample", "download_model", cwd=folder)
    return folder


def curve(folder: Path, name: str) -> list[dict[str, float]]:
    with (folder / "metrics" / name).open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_two_processes_train_as_one_does(tmp_path: Path, tiny_model: Path) -> None:
    """Two machines for one model must change its speed alone; a loss that is summed over them would double."""
    folder = sampled(tmp_path / "project", without_dropout(tiny_model, tmp_path / "model"))
    run("dvc", "repro", "train", cwd=folder)
    alone = {name: curve(folder, name) for name in ("history.csv", "steps.csv")}
    change_params(folder / "params.yaml", processes=2)
    run("dvc", "repro", "train", cwd=folder)
    for name, expected in alone.items():
        found = curve(folder, name)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    assert len(alone["steps.csv"]) >= 8


def test_goes_on_after_one_process_is_killed(tmp_path: Path, tiny_model: Path) -> None:
    """When one process dies the others must not wait for ever, and the next start must end as if nothing had been."""
    folder = sampled(tmp_path / "project", tiny_model, processes=2, epochs=30)
    started = subprocess.Popen(["python", "-m", "stages.train"], cwd=folder, env=environment(), start_new_session=True)
    deadline = time.monotonic() + 300
    while not list(folder.glob(".refit/runs/*/checkpoint-*/MANIFEST.json")):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.05)
    os.kill(second_process(started.pid), signal.SIGKILL)
    assert started.wait(timeout=120) != 0
    again = run("python", "-m", "stages.train", cwd=folder)
    assert "goes on from step" in again.stderr
    weights = (folder / "models/finetuned/model.safetensors").read_bytes()
    for path in folder.glob(".refit/runs/*"):
        path.rename(path.with_name(".set-aside"))
    whole = run("python", "-m", "stages.train", cwd=folder)
    assert "goes on from step" not in whole.stderr
    assert (folder / "models/finetuned/model.safetensors").read_bytes() == weights


def second_process(launcher: int) -> int:
    """The process of rank 1 among a launcher's children."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for child in children:
        if b"RANK=1" in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no process of rank 1 among {children}")


def test_batch_size_has_to_be_shared_evenly(tmp_path: Path, tiny_model: Path) -> None:
    """Processes with unlike shares would train another model than one process does."""
    folder = sampled(tmp_path / "project", tiny_model, processes=2, batch_size=7)
    failed = run("python", "-m", "stages.train", cwd=folder, check=False)
    assert failed.returncode == 64
    assert "batch_size: got 7, shared by 2 processes" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_only_one_process_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launching once more from inside a launched process would never end."""
    monkeypatch.delenv("RANK", raising=False)
    assert not processes.must_launch(1)
    assert processes.must_launch(2)
    monkeypatch.setenv("PET_NNODES", "2")
    assert processes.must_launch(1)
    monkeypatch.setenv("RANK", "0")
    assert not processes.must_launch(2)
