"""Training by several processes: the same run as by one, also if a process is killed."""

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from conftest import ROOT, change_params, environment, run, tiny_project, wait_until
from ruamel.yaml import YAML

from refit.errors import ParamsError
from refit.params import Train
from refit.training import distributed


def without_dropout(model: Path, target: Path) -> Path:
    """A copy of the model without dropout, because each process draws its own random numbers."""
    shutil.copytree(model, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "hidden_dropout_prob": 0.0}))
    return target


def sampled(folder: Path, model: Path, **changes: object) -> Path:
    """A clone with all inputs of train: 32 examples, so that each batch of 8 is full."""
    tiny_project(folder, model, train_rows=32, **changes)
    run("dvc", "repro", "sample", "download_model", cwd=folder)
    return folder


def curves(folder: Path) -> dict[str, list[dict[str, float]]]:
    """The rows of the curves in metrics/."""
    found = {}
    for name in ("history.csv", "steps.csv"):
        with (folder / "metrics" / name).open() as file:
            found[name] = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return found


def check_curves(folder: Path, expected: dict[str, list[dict[str, float]]]) -> None:
    """Check that a run has the expected curves up to rounding."""
    for name, rows in curves(folder).items():
        assert len(rows) == len(expected[name]) >= 2
        for ours, theirs in zip(rows, expected[name], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[Any]) -> None:
    """Wait until a training has written a checkpoint."""
    wait_until(lambda: list(folder.glob(".refit/runs/*/checkpoint-*/manifest.json")) or process.poll(), "a checkpoint")
    assert process.poll() is None


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents `processes` from changing the run, for example a loss summed over the processes instead of averaged."""
    folder = sampled(tmp_path / "project", without_dropout(tiny_model, tmp_path / "model"))
    run("dvc", "repro", "train", cwd=folder)
    alone = curves(folder)
    change_params(folder / "params.yaml", processes=2)
    run("dvc", "repro", "train", cwd=folder)
    check_curves(folder, alone)


@pytest.mark.slow
def test_fsdp_on_two_processes_trains_as_one_does(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents FSDP from training another model, and from saving pickled parts in place of its weights."""
    folder = sampled(tmp_path / "project", without_dropout(tiny_model, tmp_path / "model"), max_grad_norm=0.1)
    run("python", "-m", "stages.train", cwd=folder)
    alone = curves(folder)
    wrapped = {"fsdp": True, "fsdp_config": {"transformer_layer_cls_to_wrap": ["BertLayer"]}}
    change_params(folder / "params.yaml", processes=2, trainer=wrapped)
    torchrun = ["python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = run(*torchrun, ROOT / "tests/fsdp_on_cpu.py", cwd=folder, env=environment(PYTHONPATH=str(folder)))
    assert "trainer.fsdp: this run cannot be resumed" in done.stderr
    assert not [path for path in (folder / ".refit").rglob("*") if path.suffix in (".pt", ".bin", ".distcp")]
    assert (folder / "models/finetuned/model.safetensors").is_file()
    check_curves(folder, alone)


@pytest.mark.slow
def test_resumes_after_one_process_is_killed(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents processes that wait for a dead one forever, and a resumed run with other weights."""
    folder = sampled(tmp_path / "project", tiny_model, processes=2, epochs=30)
    started = subprocess.Popen(["python", "-m", "stages.train"], cwd=folder, env=environment(), start_new_session=True)
    wait_for_checkpoint(folder, started)
    (second,) = (child for child in psutil.Process(started.pid).children() if child.environ().get("RANK") == "1")
    second.kill()
    assert started.wait(timeout=120) != 0
    again = run("python", "-m", "stages.train", cwd=folder)
    assert "resuming from step" in again.stderr
    weights = (folder / "models/finetuned/model.safetensors").read_bytes()
    for path in folder.glob(".refit/runs/*"):
        path.rename(path.with_name(".set-aside"))
    uninterrupted = run("python", "-m", "stages.train", cwd=folder)
    assert "resuming from step" not in uninterrupted.stderr
    assert (folder / "models/finetuned/model.safetensors").read_bytes() == weights


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
    """Prevents an error after many seconds, once per process, and processes with parts of a batch of unequal size."""
    monkeypatch.setenv("PET_NNODES", nodes)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    values = YAML(typ="safe").load(ROOT / "params.yaml") | {"batch_size": size, "processes": count}
    chosen = Train.model_validate({name: values[name] for name in Train.model_fields})
    with pytest.raises(ParamsError) as raised:
        distributed.check(chosen, launches=True)
    assert str(raised.value).removeprefix("params.yaml ") == message


def test_the_error_of_a_process_is_the_last_line(prepared: Path, tmp_path: Path) -> None:
    """Prevents the advice to run the same command again for a mistake that the user has to fix first."""
    folder = tmp_path / "project"
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(".git", ".refit"))
    change_params(folder / "params.yaml", processes=2)
    (folder / "data/sampled/train.arrow").unlink()
    failed = run("python", "-m", "stages.train", cwd=folder, check=False)
    assert failed.returncode == 65
    (line,) = [line for line in failed.stderr.splitlines() if line.startswith("refit train: ")]
    assert line.startswith("refit train: data/sampled/train.arrow is missing; ")
    assert failed.stderr.endswith(f"{line}\n")
