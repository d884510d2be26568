"""Checkpoints that survive a kill: only a committed checkpoint counts, and a committed one is complete.

A run is stored in .refit/runs/<fingerprint>/. The Trainer writes a checkpoint's files; the record written last,
manifest.json with each file's size and SHA-256, commits it. A killed run resumes from the newest committed checkpoint
whose best checkpoint is complete as well, and reaches the same weights as a run that was not killed.
"""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from refit import locking
from refit.errors import DataError
from refit.model.device import say
from refit.storage import files, manifest
from refit.training import curves, distributed, fingerprint
from refit.training.checkpoint_io import SCHEDULER
from refit.training.trainer import ClassifierTrainer

LOOP = "loop_state.json"
STATE = "trainer_state.json"
DONE = "DONE.json"
DESCRIPTION = "FINGERPRINT.json"
MODEL = ("config.json", "model.safetensors")  # what is kept of a finished run
RESUMABLE = {*MODEL, STATE, LOOP, SCHEDULER}  # at least; the record names every file
KEEP_NEWEST = 2
KEEP_RUNS = 3


class Run:
    """The folder of one training run, named by the fingerprint of everything that determines its weights."""

    def __init__(self, home: Path, description: dict[str, Any]) -> None:
        self.description = description
        self.folder = home / "runs" / fingerprint.digest(description)[:32]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process alone; a second one waits until the first has exited."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locking.locked(self.folder / ".lock", "train: another process is training the same run; waiting for it"):
            marker = self.folder / DESCRIPTION
            if not marker.is_file():
                self._say_what_differs()
                files.write_json(marker, self.description)
            os.utime(marker)  # the run that was used last is removed last
            yield
            _remove_old_runs(self.folder.parent)

    def result(self) -> dict[str, Any] | None:
        """What `finish` recorded, or None if the run has not finished or its weights are damaged."""
        record = self.folder / DONE
        if not record.is_file():
            return None
        try:
            result = manifest.read_record(record)
            manifest.read(self.checkpoint(result["best_step"]))
        except DataError as error:
            say(f"train: the finished run's weights are not used: {_what(error)}")
            record.unlink()
            return None
        self._keep_only_model(result["best_step"])
        return result

    def finish(self, result: dict[str, Any]) -> None:
        """Record the result of the complete run; of its checkpoints keep the best one's model."""
        manifest.write_record(self.folder / DONE, result)
        self._keep_only_model(result["best_step"])

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint of a step."""
        return self.folder / f"checkpoint-{step}"

    def checkpoints(self) -> list[Path]:
        """The folders of all checkpoints, the newest first, whether committed or not."""
        return sorted(self.folder.glob("checkpoint-*"), key=step_of, reverse=True)

    def newest(self) -> Path | None:
        """The checkpoint to resume from; newer ones that cannot be used are removed, with a message."""
        for path in self.checkpoints():
            try:
                if missing := RESUMABLE - manifest.read(path).keys():
                    raise DataError(f"{path / manifest.NAME} lacks {', '.join(sorted(missing))}")
                best = self.checkpoint(files.read_json(path / LOOP)["best_step"])
                if best != path:
                    manifest.read(best)
            except DataError as error:
                say(f"train: {path.name} is not used: {_what(error)}")
                shutil.rmtree(path)
            else:
                return path
        return None

    def commit(self, step: int, best_step: int) -> None:
        """Make a checkpoint count whose files are all written, then remove all but the two newest and the best."""
        folder = self.checkpoint(step)
        written = _files(folder)
        for path in [*written, folder]:
            files.flush_to_disk(path)
        manifest.write(folder, {str(path.relative_to(folder)): {} for path in written})
        files.flush_to_disk(self.folder)
        for old in self.checkpoints()[KEEP_NEWEST:]:
            if old != self.checkpoint(best_step):
                shutil.rmtree(old)

    def last_good(self) -> str:
        """The newest committed checkpoint, for a message."""
        committed = [path for path in self.checkpoints() if (path / manifest.NAME).is_file()]
        return f"the last checkpoint is of step {step_of(committed[0])}" if committed else "no checkpoint was saved yet"

    def _keep_only_model(self, best_step: int) -> None:
        best = self.checkpoint(best_step)
        manifest.write(best, {name: {} for name in MODEL})
        for path in self.checkpoints():
            if path != best:
                shutil.rmtree(path)
        for path in _files(best):
            if path.name not in MODEL:
                path.unlink()

    def _say_what_differs(self) -> None:
        """Say in what this run differs from the last one, if there was one."""
        for marker in _descriptions(self.folder.parent)[:1]:
            different = fingerprint.differences(files.read_json(marker), self.description)
            verb = "differs" if len(different) == 1 else "differ"
            say(f"train: starting from scratch: {', '.join(different[:6])} {verb} from the last run")


class Checkpoints(TrainerCallback):  # type: ignore[misc]
    """Commits the checkpoints that the Trainer saves, keeps the best, stops early, and stops when asked to."""

    def __init__(self, run: Run, trainer: ClassifierTrainer, resumed_from: Path | None) -> None:
        self.run = run
        self.trainer = trainer
        self.score = trainer.task.best_score
        self.resumed_from = resumed_from
        self.is_stop_asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let SIGTERM and Ctrl-C end the run after the current step; a second Ctrl-C ends it immediately."""

        def ask(number: int, frame: FrameType | None) -> None:
            self.is_stop_asked = True
            if number == signal.SIGINT and distributed.count() == 1:  # torchrun forwards a Ctrl-C a second time
                signal.signal(number, signal.SIG_DFL)

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def is_over(self, state: TrainerState) -> bool:
        """Whether the last step is done, or early stopping has run out of patience."""
        return state.global_step >= state.max_steps or self._has_stalled(state)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Restore the sums that the Trainer loses when it resumes."""
        if self.resumed_from is not None:
            self.trainer.restore_loss_sums(files.read_json(self.resumed_from / LOOP))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Log with every evaluation, so that each has its training loss; save and stop when asked to."""
        if state.global_step >= state.max_steps:  # it may be the best, and a run needs at least one evaluation
            control.should_evaluate = True
        if control.should_evaluate:
            control.should_log = True
        if self.trainer.is_true_in_any_process(self.is_stop_asked):  # all processes stop after the same step
            control.should_save = True
            control.should_training_stop = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save a new best immediately: the best model is always a committed checkpoint."""
        if curves.best_step(state.log_history, self.score) == state.global_step:
            control.should_save = True
        if self._has_stalled(state):
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Commit the checkpoint that the Trainer has just written."""
        sums = self.trainer.loss_sums()
        if state.is_world_process_zero:
            best_step = curves.best_step(state.log_history, self.score) or state.global_step
            files.write_json(self.run.checkpoint(state.global_step) / LOOP, {**sums, "best_step": best_step})
            self.run.commit(state.global_step, best_step)

    def _has_stalled(self, state: TrainerState) -> bool:
        steps = list(curves.scores(state.log_history, self.score))
        best = curves.best_step(state.log_history, self.score)
        patience = self.trainer.params.early_stopping
        return patience > 0 and best is not None and len(steps) - 1 - steps.index(best) >= patience


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _files(folder: Path) -> list[Path]:
    """Every file of a checkpoint except its record."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != manifest.NAME)


def _what(error: DataError) -> str:
    """What is damaged, without how to fix it: training does that itself."""
    return str(error).partition("; run: ")[0]


def _descriptions(runs: Path) -> list[Path]:
    """The description of every run, the one used last first."""
    return sorted(runs.glob(f"*/{DESCRIPTION}"), key=lambda path: path.stat().st_mtime, reverse=True)


def _remove_old_runs(runs: Path) -> None:
    """Keep the runs that were used last, and those that a process holds, such as the current one."""
    for description in _descriptions(runs)[KEEP_RUNS:]:
        run = description.parent
        with suppress(BlockingIOError), (run / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for checkpoint in run.glob("checkpoint-*"):  # before the description, by which a kill's rest is found
                shutil.rmtree(checkpoint)
            shutil.rmtree(run)
