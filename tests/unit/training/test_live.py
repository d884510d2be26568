"""What is seen while a model trains: the bar, the lines, and the logs of TensorBoard and DVCLive."""

import csv
import io
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, environment, run, tiny_project
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerControl, TrainerState, TrainingArguments

from refit.errors import ParamsError
from refit.training import live


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
    callback = live.Live("accuracy")
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
    drive(live.Live("accuracy"), tmp_path)
    assert log.getvalue().splitlines() == [
        "epoch 1 of 2  step 3  loss 0.6111  validation loss 0.6000  accuracy 0.6500  best so far",
        "epoch 2 of 2  step 6  loss 0.2056  validation loss 0.6000  accuracy 0.8000  best so far",
    ]


def test_a_worse_score_is_not_called_the_best() -> None:
    """The word decides whether somebody stops the run."""
    callback = live.Live("accuracy")
    scores = [{"eval_accuracy": 0.8}, {"eval_accuracy": 0.7}]
    state = TrainerState(global_step=2, epoch=2.0, num_train_epochs=3, log_history=scores)
    assert not callback.line(state, {"eval_loss": 1.0, "eval_accuracy": 0.7}).endswith("best so far")


def test_dvclive_writes_each_entry_at_its_step_while_training_runs(tmp_path: Path) -> None:
    """Logs that appear at the end only are of no use to who watches."""
    (callback,) = live.reporters("dvclive", tmp_path)
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
    """The same for TensorBoard, which would keep entries to itself for two minutes."""
    (callback,) = live.reporters("tensorboard", tmp_path)
    args, control = arguments(tmp_path), TrainerControl()
    state = TrainerState(max_steps=9, num_train_epochs=1, is_world_process_zero=True, is_hyper_param_search=False)
    callback.on_train_begin(args, state, control, model=None)
    state.global_step = 3
    callback.on_log(args, state, control, logs={"loss": 0.5})
    (folder,) = (tmp_path / "tensorboard").iterdir()
    events = EventAccumulator(str(folder)).Reload()
    assert [(entry.step, entry.value) for entry in events.Scalars("train/loss")] == [(3, 0.5)]
    callback.on_train_end(args, state, control)


def test_no_tracker_is_the_default(tmp_path: Path) -> None:
    """Nobody who did not ask should find log folders, or be asked for an account."""
    assert live.reporters("none", tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tracker", ["tensorboard", "dvclive", "wandb"])
def test_a_tracker_that_is_not_installed_is_named(
    tracker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a traceback in place of the one command that installs it."""
    monkeypatch.setattr(live.integrations, f"is_{tracker}_available", lambda: False)
    message = rf"report_to: {tracker} is not installed; run: \.venv/bin/pip install {tracker}"
    with pytest.raises(ParamsError, match=message):
        live.reporters(tracker, tmp_path)


def test_who_is_not_logged_in_to_wandb_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run of most who try it; a stand-in for wandb, because it is no requirement."""

    class RefusedError(Exception):
        """What wandb raises."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RefusedError("No API key configured. Use `wandb login` to log in.")

    def start(callback: Any) -> None:
        callback._wandb, callback._initialized = SimpleNamespace(Error=RefusedError), False

    monkeypatch.setattr(live.WandbLogs, "__init__", start)
    monkeypatch.setattr(live.integrations.WandbCallback, "on_train_begin", refuse)
    with pytest.raises(ParamsError, match=r"Use `wandb login` to log in\. Or, .* export WANDB_MODE=offline"):
        live.WandbLogs().on_train_begin(arguments(tmp_path), TrainerState(), TrainerControl())


def test_wandb_logs_offline_without_a_pickle_or_a_key(tmp_path: Path) -> None:
    """The files are meant to be sent away: a key among them would be known to all who see the run."""
    pytest.importorskip("wandb", reason="wandb is not installed; run: pip install wandb")
    keys = {"WANDB_API_KEY": "0123456789abcdef" * 3, "HF_TOKEN": "hf_" + "a" * 30}
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = ['tests', 'tests/unit/training']\n"
        "import test_live; from refit.training import live\n"
        "home = Path(sys.argv[1])\n"
        "(callback,) = live.reporters('wandb', home)\n"
        "test_live.drive(callback, home); import wandb; wandb.finish()"
    )
    run(sys.executable, "-c", code, tmp_path, cwd=ROOT,
        env=environment(**keys, WANDB_MODE="offline", WANDB_SILENT="true", PYTHONPATH=str(ROOT)))  # fmt: skip
    written = [path for path in (tmp_path / "wandb").rglob("*") if path.is_file()]
    assert any(path.name.startswith("run-") for path in written)
    assert not [path for path in written if path.suffix in (".pkl", ".pickle", ".pt", ".bin")]
    assert not [path for path in written for key in keys.values() if key.encode() in path.read_bytes()]


def test_trackers_log_inside_an_experiment_and_leave_git_and_dvc_alone(tmp_path: Path, tiny_model: Path) -> None:
    """DVCLive likes to write dvc.yaml and make an experiment of its own, which would end up in the user's commits."""
    folder = tiny_project(tmp_path / "project", tiny_model)
    pipeline = (folder / "dvc.yaml").read_bytes()
    run("dvc", "exp", "run", "--name", "first", "-S", "report_to=dvclive", cwd=folder)
    (metrics,) = (folder / ".refit/dvclive").glob("*first*/plots/metrics")
    steps = [int(row["step"]) for row in csv.DictReader((metrics / "eval/loss.tsv").open(), delimiter="\t")]
    history = list(csv.DictReader((folder / "metrics/history.csv").open()))
    assert steps == [int(row["step"]) for row in history]
    assert (folder / "dvc.yaml").read_bytes() == pipeline
    assert [path for path in folder.rglob("dvc.yaml") if ".venv" not in path.parts] == [folder / "dvc.yaml"]
    listed = run("dvc", "exp", "list", "--name-only", cwd=folder).stdout.split()
    assert listed == ["first"]
    plots = json.loads(run("dvc", "plots", "show", "--json", cwd=folder).stdout)["data"]
    drawn = {name for name, pictures in plots.items() if pictures}
    assert drawn == {"loss", "metrics/history.csv", "learning_rate", "confusion", "confusion_shares", "calibration"}
    assert "report_to=dvclive" in (folder / "metrics/report.html").read_text()

    run("dvc", "exp", "run", "--name", "second", "-S", "report_to=tensorboard", "-S", "seed=7", cwd=folder)
    (logs,) = (folder / ".refit/tensorboard").glob("*second*")
    events = EventAccumulator(str(logs)).Reload()
    assert [entry.step for entry in events.Scalars("eval/loss")] == steps
    changed = run("git", "status", "--porcelain", cwd=folder).stdout.split("\n")
    assert {line[3:] for line in changed if line} <= {"dvc.lock", "metrics/scores.json", "params.yaml"}
