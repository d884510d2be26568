"""What a terminal and a log file show while a model trains."""

import io
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from refit import paths
from refit.experiments import runner
from refit.training import callbacks


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def drive(callback: Any, folder: Path, seconds: float = 0) -> TrainerState:
    """Call a callback as the Trainer does in six steps of so many seconds, each with a log, and two evaluations."""
    args = TrainingArguments(output_dir=str(folder), per_device_train_batch_size=8, use_cpu=True, report_to="none")
    state, control = TrainerState(max_steps=6, num_train_epochs=2, global_step=0, epoch=0.0), TrainerControl()
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
    """Prevents a bar of percents alone, which looks the same for a run that learns and one that does not."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "160")
    callback = callbacks.Progress("accuracy")
    drive(callback, tmp_path, seconds=0.15)
    assert "step 4/6, " in screen.getvalue()
    assert " left, epoch 1.33 of 2" in screen.getvalue()
    assert re.search(r"epoch 2\.00 of 2, loss 0\.206, accuracy 0\.650, \d\d rows/s, lr 3\.3e-05", screen.getvalue())


def test_every_evaluation_leaves_a_line_where_no_terminal_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Prevents a queue's log file that is empty for hours, and a loss of the last steps that looks like divergence.

    The loss of a line is the mean since the line before.
    """
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    drive(callbacks.Progress("accuracy"), tmp_path)
    assert log.getvalue().splitlines() == [
        "epoch 1 of 2  step 3  loss 0.6111  validation loss 0.6000  accuracy 0.6500  best so far",
        "epoch 2 of 2  step 6  loss 0.2056  validation loss 0.6000  accuracy 0.8000  best so far",
    ]


def test_the_process_that_started_the_run_can_read_its_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a search that cannot prune because it sees no evaluations of a running trial."""
    monkeypatch.setenv(paths.EVALUATIONS, str(tmp_path / "evaluations"))
    drive(callbacks.Progress("accuracy"), tmp_path)
    found = runner.evaluations(tmp_path / "evaluations")
    assert [(entry["number"], entry["score"]) for entry in found] == [(1, 0.65), (2, 0.8)]
