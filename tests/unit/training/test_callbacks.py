"""What is seen while a model trains: the bar, the lines, and the logs of TensorBoard and DVCLive."""

import io
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from refit.experiments import evaluations
from refit.training import callbacks


class Terminal(io.StringIO):
    """A screen of 140 columns that says it is one."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def arguments(folder: Path) -> TrainingArguments:
    return TrainingArguments(output_dir=str(folder), per_device_train_batch_size=8, use_cpu=True, report_to="none")


def drive(callback: Any, folder: Path, seconds: float = 0) -> TrainerState:
    """The Trainer's calls of six steps, of so many seconds each, with a log each and two evaluations."""
    args, control = arguments(folder), TrainerControl()
    state = TrainerState(max_steps=6, num_train_epochs=2, global_step=0, epoch=0.0)
    callback.on_train_begin(args, state, control)
    for step in range(1, 7):
        time.sleep(seconds)
        state.global_step, state.epoch = step, step / 3
        callback.on_step_end(args, state, control)
        logs = {"loss": 1 / step, "learning_rate": 2e-4 / step, "epoch": state.epoch}
        state.log_history.append({**logs, "step": step})
        callback.on_log(args, state, control, logs=logs)
        if step % 3 == 0:
            metrics = {"eval_loss": 0.6, "eval_accuracy": 0.5 + step / 20}
            state.log_history.append({**metrics, "step": step})
            callback.on_evaluate(args, state, control, metrics=metrics)
    return state


def test_the_bar_shows_epoch_step_loss_lr_speed_time_left_and_the_last_score(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A bar of percents alone does not tell a run that learns from one that has gone astray."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "160")
    callback = callbacks.Progress("accuracy")
    state = drive(callback, tmp_path, seconds=0.15)
    shown = screen.getvalue()
    assert "step 4/6" in shown
    assert " left" in shown
    figures = callback.figures(state, 55.6)
    assert figures == "epoch 2.00 of 2, loss 0.206, accuracy 0.800, 56 rows/s, lr 3.3e-05"
    assert "loss 0.206, accuracy 0.800" in shown
    assert "rows/s" in shown


def test_every_evaluation_leaves_a_line_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A queue's log file has no bar; without these lines it would be empty for hours.

    Their loss is the mean since the line before: that of the last steps alone looked like divergence.
    """
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    drive(callbacks.Progress("accuracy"), tmp_path)
    assert log.getvalue().splitlines() == [
        "epoch 1 of 2  step 3  loss 0.6111  validation loss 0.6000  accuracy 0.6500  best so far",
        "epoch 2 of 2  step 6  loss 0.2056  validation loss 0.6000  accuracy 0.8000  best so far",
    ]


def test_a_worse_score_is_not_called_the_best() -> None:
    """The word decides whether somebody stops the run."""
    callback = callbacks.Progress("accuracy")
    scores = [{"eval_accuracy": 0.8}, {"eval_accuracy": 0.7}]
    state = TrainerState(global_step=2, epoch=2.0, num_train_epochs=3, log_history=scores)
    assert not callback.line(state, {"eval_loss": 1.0, "eval_accuracy": 0.7}).endswith("best so far")


def test_the_training_steps_are_read_by_whoever_started_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a search that cannot prune because it sees no evaluations of a running trial."""
    monkeypatch.setenv(evaluations.VARIABLE, str(tmp_path / "evaluations"))
    drive(callbacks.Progress("accuracy"), tmp_path)
    found = evaluations.read(tmp_path / "evaluations")
    assert [(entry["number"], entry["score"]) for entry in found] == [(1, 0.65), (2, 0.8)]
