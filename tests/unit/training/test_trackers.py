"""Trackers: TensorBoard, DVCLive and Weights & Biases get each entry at its step, and only if asked for."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerControl, TrainerState, TrainingArguments

from refit.errors import ParamsError
from refit.training import trackers


def arguments(folder: Path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(folder), per_device_train_batch_size=8, use_cpu=True, report_to="none")


def test_dvclive_writes_each_entry_at_its_step_while_training_runs(tmp_path: Path) -> None:
    """Prevents curves that only appear when the run is over, and a dvc.yaml next to the user's."""
    (callback,) = trackers.trackers("dvclive", tmp_path)
    args, control = arguments(tmp_path), TrainerControl()
    state = TrainerState(max_steps=9, num_train_epochs=1, is_world_process_zero=True)
    callback.on_train_begin(args, state, control)
    for step in (3, 6):
        state.global_step, state.epoch = step, step / 9
        callback.on_log(args, state, control, logs={"loss": 1 / step})
        (curve,) = (tmp_path / "dvclive").glob("*/plots/metrics/loss.tsv")
        rows = list(csv.DictReader(curve.open(), delimiter="\t"))
        assert int(rows[-1]["step"]) == step
    assert len(rows) == 2
    assert list((tmp_path / "dvclive").rglob("dvc.yaml")) == []
    callback.on_train_end(args, state, control)
    assert list((tmp_path / "dvclive").rglob("dvc.yaml")) == []


def test_tensorboard_has_each_entry_at_its_step_while_training_runs(tmp_path: Path) -> None:
    """Prevents curves that appear late: TensorBoard's writer buffers its entries for two minutes."""
    (callback,) = trackers.trackers("tensorboard", tmp_path)
    args, control = arguments(tmp_path), TrainerControl()
    state = TrainerState(max_steps=9, num_train_epochs=1, is_world_process_zero=True, is_hyper_param_search=False)
    callback.on_train_begin(args, state, control, model=None)
    state.global_step = 3
    callback.on_log(args, state, control, logs={"loss": 0.5})
    (folder,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    assert [(entry.step, entry.value) for entry in events.Scalars("train/loss")] == [(3, 0.5)]
    callback.on_train_end(args, state, control)


def test_a_missing_wandb_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a traceback where one command would install the package; refit's requirements have the others."""
    monkeypatch.setattr(trackers.integrations, "is_wandb_available", lambda: False)
    with pytest.raises(ParamsError, match=r"report_to: wandb is not installed; run: .*pip install wandb"):
        trackers.trackers("wandb", tmp_path)


def test_without_a_login_to_wandb_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a traceback in the first run of most wandb users; wandb itself is replaced: it is not a requirement."""

    class RefusedError(Exception):
        """The error that wandb raises."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RefusedError("No API key configured. Use `wandb login` to log in.")

    def start(callback: Any) -> None:
        callback._wandb, callback._initialized = SimpleNamespace(Error=RefusedError), False

    monkeypatch.setattr(trackers.WandbLogs, "__init__", start)
    monkeypatch.setattr(trackers.integrations.WandbCallback, "on_train_begin", refuse)
    with pytest.raises(ParamsError, match=r"Use `wandb login` to log in\. Or, .* export WANDB_MODE=offline"):
        trackers.WandbLogs().on_train_begin(arguments(tmp_path), TrainerState(), TrainerControl())
