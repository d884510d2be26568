"""Training as a whole: the same numbers as the notebook, and every knob does what it says."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import HUB, ROOT, environment, reviews, run, tiny_project, write_csv
from ruamel.yaml import YAML

from refit.errors import ParamsError, TrainingDivergedError
from refit.model import device
from refit.model.batching import Examples
from refit.params import Train
from refit.storage import files
from refit.training import curves, fine_tuning

SHARED_NOTEBOOK = HUB.parent / "bench/notebook.py"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A tiny project whose stages up to train have run with the notebook's settings."""
    settings = {
        "max_length": 48, "train_rows": 40, "eval_rows": 30, "padding": "max_length", "precision": "fp32",
        "sampling": "random", "attention_dropout": "model", "lr": 5e-5, "epochs": 3, "batch_size": 16,
        "eval_batch_size": 8, "weight_decay": 0.0, "warmup": 0.0, "threads": "auto",
    }  # fmt: skip
    folder = tiny_project(tmp_path_factory.mktemp("faithful") / "project", tiny_model, **settings)
    write_csv(folder / "data/own/tiny/train.csv", ["text", "label"], reviews(80))
    write_csv(folder / "data/own/tiny/validation.csv", ["text", "label"], reviews(50, seed=1))
    write_csv(folder / "data/own/tiny/test.csv", ["text", "label"], reviews(20, seed=2))
    run("dvc", "repro", "evaluate", cwd=folder)
    return folder


@pytest.mark.parametrize("notebook", [ROOT / "benchmarks/notebook.py", SHARED_NOTEBOOK], ids=["ours", "the given one"])
def test_with_the_notebooks_settings_its_numbers_come_out(trained: Path, notebook: Path, tmp_path: Path) -> None:
    """Prevents a pipeline that is faster because it computes something else: equal to 4 decimals."""
    if not notebook.is_file():
        pytest.skip("../shared/bench/notebook.py is not there; benchmarks/notebook.py makes the same calls")
    for split in ("train", "validation"):
        table = pq.read_table(trained / f"data/raw/{split}.parquet")
        pq.write_table(pa.table({name: table[name] for name in ("text", "label")}), tmp_path / f"{split}.parquet")
    command = [sys.executable, notebook, tmp_path / "train.parquet", tmp_path / "validation.parquet"]
    options = ["--rows", "40", "--eval-rows", "30", "--epochs", "3", "--lr", "5e-5", "--max-length", "48"]
    env = environment(HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "hf"))
    done = run(*command, trained / "models/base", *options, cwd=tmp_path, env=env)
    theirs = json.loads(done.stdout.splitlines()[-1])
    lines = (trained / "metrics/history.csv").read_text().splitlines()
    last = dict(zip(lines[0].split(","), lines[-1].split(","), strict=True))
    log = files.read_json(next((trained / ".refit/runs").glob("*/DONE.json")))["log"]
    ours = curves.train_loss([entry for entry in log if "loss" in entry])
    assert ours == pytest.approx(theirs["train_loss"], abs=5e-5)
    assert float(last["validation_loss"]) == pytest.approx(theirs["metrics"]["eval_loss"], abs=5e-5)
    assert float(last["validation_accuracy"]) == pytest.approx(theirs["metrics"]["eval_accuracy"], abs=5e-5)


def chosen(**changes: object) -> Train:
    """The committed params, with some changed."""
    values = YAML(typ="safe").load(ROOT / "params.yaml")
    return Train.model_validate({name: {**values, **changes}[name] for name in Train.model_fields})


@pytest.mark.parametrize(("rows", "changes", "steps"), [(100, {}, 7), (100, {"grad_accum": 2}, 4), (5, {}, 1)])
def test_an_epoch_is_counted_in_steps_as_the_trainer_does(rows: int, changes: dict[str, Any], steps: int) -> None:
    """Prevents evaluation and checkpoints from drifting away from the ends of epochs."""
    values = fine_tuning.argument_values(chosen(**changes), rows, "fp32", torch.device("cpu"))
    assert values["eval_steps"] == values["save_steps"] == steps


def test_a_gpu_gets_its_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a GPU from being fed like a CPU; checked by the arguments, for want of a GPU."""
    monkeypatch.setattr(device, "has_tf32", lambda: True)
    on_gpu = fine_tuning.argument_values(chosen(compile=True), 100, "bf16", torch.device("cuda"))
    wanted = {"bf16": True, "tf32": True, "dataloader_pin_memory": True, "dataloader_num_workers": 2, "use_cpu": False}
    assert {name: on_gpu[name] for name in wanted} == wanted
    assert on_gpu["torch_compile"]
    plain = fine_tuning.argument_values(chosen(precision="fp32"), 100, "fp32", torch.device("cuda"))
    assert plain["tf32"] is None
    on_cpu = fine_tuning.argument_values(chosen(), 100, "bf16", torch.device("cpu"))
    assert on_cpu["dataloader_num_workers"] == 0
    assert not on_cpu["dataloader_pin_memory"]


@pytest.mark.parametrize(
    ("labels", "step", "advice"),
    [
        (np.float32([-2, 1e32]), 0, "the labels range from -2 to 1e+32; scale them, for example to 0 to 1"),
        (np.float32([-2, 1e32]), 5, "lower lr in params.yaml, or use precision: fp32"),
        (np.int64([0, 1]), 0, "lower lr in params.yaml, or use precision: fp32"),
    ],
)
def test_labels_are_blamed_for_a_first_step_that_diverges(labels: Any, step: int, advice: str) -> None:
    """Prevents a search for a learning rate that cannot help: a warmup's first step has lr 0."""

    def diverge(**options: Any) -> None:
        raise TrainingDivergedError("the loss is inf")

    fitting: Any = SimpleNamespace(
        train=diverge, state=SimpleNamespace(global_step=step), train_dataset=Examples(SimpleNamespace(label=labels))
    )
    checkpoints: Any = SimpleNamespace(last_good=lambda: "no checkpoint")
    run: Any = SimpleNamespace(newest=lambda: None)
    with pytest.raises(TrainingDivergedError) as raised:
        fine_tuning._run_loop(fitting, checkpoints, run)
    assert str(raised.value) == f"the loss is inf; no checkpoint; {advice}"


def test_a_polynomial_schedule_needs_a_learning_rate_above_its_end() -> None:
    """Prevents a traceback out of transformers for two values that are allowed one by one."""
    with pytest.raises(ParamsError, match="lr: got 1e-07, but scheduler: polynomial ends at 1e-07; need a higher lr"):
        fine_tuning._check(chosen(scheduler="polynomial", lr=1e-7), {}, {}, is_regression=False)
