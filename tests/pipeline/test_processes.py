"""Training by several processes: the same run as by one, whichever process dies on the way."""

import csv
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import ROOT, change_params, environment, run, tiny_project
from ruamel.yaml import YAML

from refit.errors import ParamsError
from refit.model import device
from refit.params import Train
from refit.training import distributed


def without_dropout(model: Path, target: Path) -> Path:
    """The model's folder with no dropout: its random numbers are drawn by each process for itself."""
    import json

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


@pytest.mark.slow
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


@pytest.mark.slow
def test_fsdp_on_two_processes_trains_as_one_does(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a sharded model from being another model, and pickled pieces in place of its weights."""
    folder = sampled(tmp_path / "project", without_dropout(tiny_model, tmp_path / "model"), max_grad_norm=0.1)
    run("python", "-m", "stages.train", cwd=folder)
    alone = {name: curve(folder, name) for name in ("history.csv", "steps.csv")}
    wrapped = {"fsdp": True, "fsdp_config": {"transformer_layer_cls_to_wrap": ["BertLayer"]}}
    change_params(folder / "params.yaml", processes=2, trainer=wrapped)
    torchrun = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = run(*torchrun, ROOT / "tests/fsdp_on_cpu.py", cwd=folder, env=environment(PYTHONPATH=str(folder)))
    assert "trainer.fsdp: this run cannot be resumed" in done.stderr
    assert not [path for path in (folder / ".refit").rglob("*") if path.suffix in (".pt", ".bin", ".distcp")]
    assert (folder / "models/finetuned/model.safetensors").is_file()
    for name, expected in alone.items():
        for ours, theirs in zip(curve(folder, name), expected, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_resumes_after_one_process_is_killed(tmp_path: Path, tiny_model: Path) -> None:
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
    assert "resuming from step" in again.stderr
    weights = (folder / "models/finetuned/model.safetensors").read_bytes()
    for path in folder.glob(".refit/runs/*"):
        path.rename(path.with_name(".set-aside"))
    whole = run("python", "-m", "stages.train", cwd=folder)
    assert "resuming from step" not in whole.stderr
    assert (folder / "models/finetuned/model.safetensors").read_bytes() == weights


def second_process(launcher: int) -> int:
    """The process of rank 1 among a launcher's children."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for child in children:
        if b"RANK=1" in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no process of rank 1 among {children}")


@pytest.mark.parametrize(
    ("size", "count", "nodes", "message"),
    [
        (5, 2, "1", "batch_size: got 5, shared by 2 processes; need a multiple of 2, such as 4 or 6"),
        (3, 2, "2", "batch_size: got 3, shared by 4 processes; need a multiple of 4, such as 4 or 8"),
        (64, 64, "1", "processes: got 64, need at most 2, the GPUs here"),
        (4, 2, "two", "PET_NNODES: got 'two', need the number of nodes, a whole number >= 1"),
    ],
)
def test_processes_that_cannot_run_are_refused_before_any_starts(
    size: int, count: int, nodes: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a refusal after many seconds, once for each process, and processes with unequal shares of a batch."""
    monkeypatch.setenv("PET_NNODES", nodes)
    monkeypatch.setattr(device, "places", lambda: (2, "GPUs"))
    values = YAML(typ="safe").load(ROOT / "params.yaml") | {"batch_size": size, "processes": count}
    chosen = Train.model_validate({name: values[name] for name in Train.model_fields})
    with pytest.raises(ParamsError) as raised:
        distributed.check(chosen, launches=True)
    assert str(raised.value).removeprefix("params.yaml ") == message


def test_the_error_of_a_process_is_the_last_line(prepared: Path, tmp_path: Path) -> None:
    """Prevents the advice to run the same command again after a mistake that the user has to fix first."""
    folder = tmp_path / "project"
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(".git", ".refit"))
    change_params(folder / "params.yaml", processes=2)
    (folder / "data/sampled/train.arrow").unlink()
    failed = run("python", "-m", "stages.train", cwd=folder, check=False)
    assert failed.returncode == 65
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("refit train: ")]
    assert line.startswith("refit train: data/sampled/train.arrow is missing; ")
    assert failed.stderr.endswith(f"{line}\n")


def test_only_one_process_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launching once more from inside a launched process would never end."""
    monkeypatch.delenv("RANK", raising=False)
    assert not distributed.must_launch(1)
    assert distributed.must_launch(2)
    monkeypatch.setenv("PET_NNODES", "2")
    assert distributed.must_launch(1)
    monkeypatch.setenv("RANK", "0")
    assert not distributed.must_launch(2)
