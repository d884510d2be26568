"""Checkpoints that survive a kill: only a committed checkpoint counts, and a committed one is complete.

A run is stored in .refit/runs/<fingerprint>/. The Trainer writes a checkpoint's files; the record written last,
MANIFEST.json with each file's size and SHA-256, commits it. A killed run resumes from the newest committed checkpoint
whose best checkpoint is complete as well, and reaches the same weights as a run that was not killed.
"""

import fcntl
import math
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from refit import locking
from refit.errors import DataError
from refit.storage import files, manifest
from refit.training import curves, distributed, fingerprint
from refit.training.checkpoint_io import SCHEDULER
from refit.training.distributed import say
from refit.training.trainer import ClassifierTrainer

RECORD = "MANIFEST.json"
LOOP = "loop_state.json"
STATE = "trainer_state.json"
DONE = "DONE.json"
DESCRIPTION = "FINGERPRINT.json"
MODEL = {"model.safetensors", "config.json"}  # what is kept of a finished run
RESUMABLE = MODEL | {STATE, LOOP, SCHEDULER}  # at least; the record names every file
KEEP_NEWEST = 2
KEEP_RUNS = 3


class Run:
    """The folder of one training run, named by the fingerprint of everything that determines its weights."""

    def __init__(self, home: Path, description: dict[str, Any]) -> None:
        self.fingerprint = fingerprint.digest(description)
        self.description = description
        self.folder = home / "runs" / self.fingerprint[:32]

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
            _remove_leftovers(self.folder)
            yield
            _remove_old_runs(self.folder.parent)

    def result(self) -> dict[str, Any] | None:
        """What `finish` recorded, or None if the run has not finished or its weights are damaged."""
        record = self.folder / DONE
        if not record.is_file():
            return None
        try:
            result = manifest.read_record(record)
            problem = self._problem(self.checkpoint(result["best_step"]), only=MODEL)
        except DataError:
            problem = f"{DONE} is damaged"
        if problem:
            say(f"the finished run's weights are not used: {problem}")
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
        found = [path for path in self.folder.glob("checkpoint-*") if path.name[11:].isdigit()]
        return sorted(found, key=lambda path: int(path.name[11:]), reverse=True)

    def newest(self) -> Path | None:
        """The checkpoint to resume from; newer ones that cannot be used are removed, with a message."""
        for path in self.checkpoints():
            problem = self._problem(path)
            if problem is None:
                best = self.checkpoint(files.read_json(path / LOOP)["best_step"])
                if best == path or self._problem(best) is None:
                    return path
                problem = f"its best checkpoint, {best.name}, is incomplete"
            say(f"{path.name} is not used: {problem}")
            _remove(path)
        return None

    def commit(self, step: int) -> None:
        """Make a checkpoint count whose files have all been written."""
        folder, entries = self.checkpoint(step), {}
        for path in _files(folder):
            files.flush_to_disk(path)
            entries[str(path.relative_to(folder))] = manifest.entry(path)
        files.flush_to_disk(folder)
        manifest.write_record(folder / RECORD, {"fingerprint": self.fingerprint, "step": step, "files": entries})
        files.flush_to_disk(folder.parent)

    def remove_old(self, keep: Collection[Path]) -> None:
        """Keep the given checkpoints and the newest of the others."""
        others = [path for path in self.checkpoints() if path not in keep]
        for path in others[KEEP_NEWEST - 1 :]:
            _remove(path)

    def last_good(self) -> str:
        """The newest committed checkpoint, for a message."""
        committed = (path for path in self.checkpoints() if (path / RECORD).is_file())
        newest = next(committed, None)
        return f"the last checkpoint is of step {newest.name[11:]}" if newest else "no checkpoint has been saved yet"

    def _problem(self, folder: Path, only: set[str] | None = None) -> str | None:
        """Why a checkpoint cannot be used, or None; with `only`, just these of its files are checked."""
        try:
            record = manifest.read_record(folder / RECORD)
        except FileNotFoundError:
            return "it was not finished"
        except DataError:
            return "its record is damaged"
        if record["fingerprint"] != self.fingerprint:
            return "it belongs to another run"
        if folder != self.checkpoint(record["step"]):
            return f"it is of step {record['step']}"
        if missing := (only or RESUMABLE) - record["files"].keys():
            return f"its record lacks {', '.join(sorted(missing))}"
        for name in sorted(only or record["files"]):
            if found := manifest.problem(folder / name, record["files"][name]):
                return f"{name} {found}"
        return None

    def _keep_only_model(self, best_step: int) -> None:
        best = self.checkpoint(best_step)
        for path in self.checkpoints():
            if path != best:
                _remove(path)
        for path in _files(best):
            if path.name not in MODEL:
                path.unlink()

    def _say_what_differs(self) -> None:
        """Say in what this run differs from the last one, if there was one."""
        others = [path for path in self.folder.parent.glob(f"*/{DESCRIPTION}") if path.parent != self.folder]
        for marker in sorted(others, key=_modified, reverse=True):
            with suppress(ValueError):  # a damaged one says nothing
                different = fingerprint.differences(files.read_json(marker), self.description)
                verb = "differs" if len(different) == 1 else "differ"
                say(f"starting from scratch: {', '.join(different[:6])} {verb} from the last run")
                return


class Checkpoints(TrainerCallback):  # type: ignore[misc]
    """Commits the checkpoints that the Trainer saves, keeps the best, stops early, and stops when asked to.

    `score` picks the best evaluation; `patience` is the number of evaluations without improvement before stopping, 0
    for never; `resumed_from` is the checkpoint that the run starts from, if any.
    """

    def __init__(
        self, run: Run, trainer: ClassifierTrainer, score: str, patience: int, resumed_from: Path | None
    ) -> None:
        self.run = run
        self.trainer = trainer
        self.score = score
        self.patience = patience
        self.resumed_from = resumed_from
        self.is_stop_asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let SIGTERM and Ctrl-C end the run after the current step; a second Ctrl-C ends it immediately.

        Some signals come several times but mean one request: a parent with several threads sends SIGTERM once per
        thread when it dies, and torchrun forwards a Ctrl-C that its processes have already received.
        """

        def ask(number: int, frame: FrameType | None) -> None:
            self.is_stop_asked = True
            if number == signal.SIGINT and distributed.count() == 1:
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
        count = math.ceil(state.max_steps / args.eval_steps)
        if self.patience and count <= self.patience + 1:
            evaluations = f"{count} evaluation{'s' * (count > 1)}"
            say(f"early_stopping: {self.patience} has no effect: the run has only {evaluations}")
        if self.resumed_from is not None:
            self.trainer.restore_loss_sums(files.read_json(self.resumed_from / LOOP))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Log with every evaluation, so that each has its training loss; save and stop when asked to.

        The last step is always evaluated: it may be the best, and a run needs at least one evaluation.
        """
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
        if control.should_evaluate:
            control.should_log = True
        if distributed.any_of(self.is_stop_asked):  # all processes stop after the same step
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
        """Commit the checkpoint that the Trainer has just written, then remove older ones."""
        sums = self.trainer.loss_sums()
        if not state.is_world_process_zero:
            return
        step = state.global_step
        best = curves.best_step(state.log_history, self.score) or step
        files.write_json(self.run.checkpoint(step) / LOOP, {**sums, "best_step": best})
        self.run.commit(step)
        self.run.remove_old(keep={self.run.checkpoint(best), self.run.checkpoint(step)})

    def _has_stalled(self, state: TrainerState) -> bool:
        steps = list(curves.scores(state.log_history, self.score))
        best = curves.best_step(state.log_history, self.score)
        return self.patience > 0 and best is not None and len(steps) - 1 - steps.index(best) >= self.patience


def _files(folder: Path) -> list[Path]:
    """Every file of a checkpoint except its record."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)


def _remove(folder: Path) -> None:
    """Remove a folder so that a kill meanwhile cannot leave a part of it under its own name."""
    trash = folder.with_name(f".trash-{folder.name}-{os.getpid()}-{time.monotonic_ns()}")
    folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left partly removed or partly written."""
    for left in [*folder.glob(".trash-*"), *folder.glob(".*.tmp"), *folder.parent.glob(".trash-*")]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _remove_old_runs(runs: Path) -> None:
    """Keep the runs that were used last, and those that a process holds, such as the current one."""
    markers = sorted(runs.glob(f"*/{DESCRIPTION}"), key=_modified, reverse=True)
    for marker in markers[KEEP_RUNS:]:
        with suppress(BlockingIOError), (marker.parent / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(marker.parent)


def _modified(path: Path) -> float:
    return path.stat().st_mtime
