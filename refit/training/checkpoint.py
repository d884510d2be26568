"""Checkpoints that survive a kill: only a committed checkpoint counts, and a committed one is complete.

A run is stored in .refit/runs/<fingerprint>/. The Trainer writes a checkpoint's files; the commit record written last,
MANIFEST.json with each file's size and SHA-256, commits it. A killed run resumes from the newest committed checkpoint
whose best checkpoint is complete as well, and reaches the same weights as a run that was not killed.
"""

import fcntl
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from refit import locking
from refit.errors import DataError, InterruptedRunError
from refit.storage import files, manifest
from refit.training import distributed, fingerprint
from refit.training.trainer import SCHEDULER, ClassifierTrainer

RECORD = "MANIFEST.json"
LOOP = "loop_state.json"
DONE = "DONE.json"
DESCRIPTION = "FINGERPRINT.json"
MODEL = {"model.safetensors", "config.json"}  # what is kept of a finished run
RESUMABLE = MODEL | {"trainer_state.json", LOOP, SCHEDULER}  # at least; the record names every file
KEEP_NEWEST = 2
KEEP_RUNS = 3


class Run:
    """The folder of one training run, named by the fingerprint of all that decides its weights."""

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
            _sweep(self.folder)
            yield
            _forget_old_runs(self.folder)

    def result(self) -> dict[str, Any] | None:
        """The result of this run if it has finished: its best step, its log and its figures."""
        record = self.folder / DONE
        if not record.is_file():
            return None
        try:
            result: dict[str, Any] = manifest.read_record(record)
            problem = _problem(self.checkpoint(result["best_step"]), self.fingerprint, MODEL)
        except DataError:
            problem = f"{DONE} is damaged"
        if problem:
            _say(f"the finished run's weights are not used: {problem}")
            record.unlink()
            return None
        self._keep_only_model(result["best_step"])
        return result

    def finish(self, result: dict[str, Any]) -> None:
        """Record that the run is complete, and keep of its checkpoints the best alone, without optimizer state."""
        manifest.write_record(self.folder / DONE, result)
        self._keep_only_model(result["best_step"])

    def _keep_only_model(self, best_step: int) -> None:
        for step, path in _checkpoints(self.folder):
            if step != best_step:
                _discard(path)
        for path in _files(self.checkpoint(best_step)):
            if path.name not in MODEL | {RECORD}:
                path.unlink()

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint of a step."""
        return self.folder / f"checkpoint-{step}"

    def newest(self) -> Path | None:
        """The checkpoint to resume from; incomplete ones are removed, with a message."""
        complete: dict[int, Path] = {}
        for step, path in _checkpoints(self.folder):
            problem = _problem(path, self.fingerprint)
            if problem is None:
                complete[step] = path
            else:
                _say(f"{path.name} is not used: {problem}")
                _discard(path)
        for step in sorted(complete, reverse=True):
            best = files.read_json(complete[step] / LOOP)["best_step"]
            if best in complete:
                return complete[step]
            _say(f"{complete[step].name} is not used: its best checkpoint-{best} is gone")
            _discard(complete[step])
        return None

    def _say_what_differs(self) -> None:
        """Name what sets this run apart from the last one, when there was one."""
        others = [path for path in self.folder.parent.glob(f"*/{DESCRIPTION}") if path.parent != self.folder]
        for marker in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True):
            with suppress(ValueError):  # a damaged one says nothing
                different = fingerprint.differences(files.read_json(marker), self.description)
                verb = "differs" if len(different) == 1 else "differ"
                _say(f"starting from scratch: {', '.join(different[:6])} {verb} from the last run")
                return


class Checkpoints(TrainerCallback):  # type: ignore[misc]
    """Commits the checkpoints that the Trainer saves, keeps the best, stops early, and stops when asked to.

    `resumed_from` is the checkpoint that the run starts from, if any.
    """

    def __init__(
        self, run: Run, trainer: ClassifierTrainer, best_score: str, patience: int, resumed_from: Path | None
    ) -> None:
        self.run = run
        self.trainer = trainer
        self.best_key = f"eval_{best_score}"
        self.patience = patience
        self.resumed_from = resumed_from
        self.stop_asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let SIGTERM and Ctrl-C end the run after the current step; a second Ctrl-C ends it immediately.

        Some signals come more than once and mean no more than one: a parent of many threads that dies sends its
        SIGTERM once for each, and torchrun passes the Ctrl-C that its processes have received already on to them.
        """

        def ask(number: int, frame: FrameType | None) -> None:
            self.stop_asked = True
            if number == signal.SIGINT and distributed.count() == 1:
                signal.signal(number, signal.SIG_DFL)

        before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def is_over(self, state: TrainerState) -> bool:
        """Whether the last step is done, or early stopping has had its patience."""
        return state.global_step >= state.max_steps or self._has_stalled(state)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Restore the sums that the Trainer loses when it resumes."""
        if self.patience and state.is_world_process_zero and state.max_steps <= (self.patience + 1) * args.eval_steps:
            count = math.ceil(state.max_steps / args.eval_steps)
            evaluations = f"{count} evaluation{'s' * (count > 1)}"
            _say(f"early_stopping: {self.patience} has no effect: the run has only {evaluations}")
        if self.resumed_from is not None:
            self.trainer.restore_loss_sums(files.read_json(self.resumed_from / LOOP))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Log with every evaluation, so that each has its training loss; save and stop when asked to.

        The last step is always evaluated: it may be the best, and there has to be one.
        """
        if state.global_step >= state.max_steps:
            control.should_evaluate = True
        if control.should_evaluate:
            control.should_log = True
        if distributed.any_of(self.stop_asked):  # all stop after the same step
            control.should_save = True
            control.should_training_stop = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save a new best immediately: the best model is always a committed checkpoint."""
        if self.best_step(state) == state.global_step:
            control.should_save = True
        if self._has_stalled(state):
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Commit the checkpoint that the Trainer has just written, then remove older ones."""
        sums = self.trainer.loss_sums()
        if not state.is_world_process_zero:
            return
        folder = self.run.checkpoint(state.global_step)
        best = self.best_step(state)
        files.write_json(folder / LOOP, {**sums, "best_step": state.global_step if best is None else best})
        _commit(folder, self.run.fingerprint, state.global_step)
        self._remove_old(keep={best, state.global_step})

    def best_step(self, state: TrainerState) -> int | None:
        """The step of the best evaluation so far, the first of equals; None before the first evaluation."""
        scores = self._scores(state)
        return max(scores, key=lambda entry: entry[1])[0] if scores else None

    def last_good(self) -> str:
        """The newest committed checkpoint, for a message."""
        steps = [step for step, path in _checkpoints(self.run.folder) if (path / RECORD).is_file()]
        return f"the last checkpoint is of step {max(steps)}" if steps else "no checkpoint has been saved yet"

    def _has_stalled(self, state: TrainerState) -> bool:
        steps = [step for step, _ in self._scores(state)]
        best = self.best_step(state)
        return self.patience > 0 and best is not None and len(steps) - 1 - steps.index(best) >= self.patience

    def _scores(self, state: TrainerState) -> list[tuple[int, float]]:
        return [(entry["step"], entry[self.best_key]) for entry in state.log_history if self.best_key in entry]

    def _remove_old(self, keep: set[int | None]) -> None:
        others = [(step, path) for step, path in _checkpoints(self.run.folder) if step not in keep]
        for _, path in others[KEEP_NEWEST - 1 :]:
            _discard(path)


def load_state(folder: Path) -> TrainerState:
    """The Trainer's state in a checkpoint."""
    return TrainerState.load_from_json(str(folder / "trainer_state.json"))


def interrupted(state: TrainerState, *, is_resumable: bool) -> InterruptedRunError:
    """The error to raise when a run was asked to stop."""
    then = "progress saved; run the same command to resume" if is_resumable else "and cannot be resumed (trainer:)"
    return InterruptedRunError(f"stopped at step {state.global_step} of {state.max_steps}, {then}")


def _commit(folder: Path, run_fingerprint: str, step: int) -> None:
    entries = {}
    for path in _files(folder):
        files.flush_to_disk(path)
        entries[str(path.relative_to(folder))] = manifest.entry(path)
    files.flush_to_disk(folder)
    manifest.write_record(folder / RECORD, {"fingerprint": run_fingerprint, "step": step, "files": entries})
    files.flush_to_disk(folder.parent)


def _problem(folder: Path, run_fingerprint: str, kept: set[str] | None = None) -> str | None:
    """Why a checkpoint cannot be used, or None; with `kept`, only these of its files are checked."""
    try:
        record = manifest.read_record(folder / RECORD)
    except FileNotFoundError:
        return "it was not finished"
    except DataError:
        return "its record is damaged"
    if record["fingerprint"] != run_fingerprint:
        return "it belongs to another run"
    if folder.name != f"checkpoint-{record['step']}":
        return f"it is of step {record['step']}"
    missing = (kept or RESUMABLE) - record["files"].keys()
    if missing:
        return f"its record lacks {', '.join(sorted(missing))}"
    for name, entry in record["files"].items():
        found = manifest.problem(folder / name, entry) if kept is None or name in kept else None
        if found:
            return f"{name} {found}"
    return None


def _files(folder: Path) -> list[Path]:
    """Every file of a checkpoint except its record."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of every checkpoint, the newest first."""
    found = [
        (int(path.name.partition("-")[2]), path) for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()
    ]
    return sorted(found, reverse=True)


def _discard(folder: Path) -> None:
    """Remove a folder so that a kill meanwhile cannot leave a part of it under its own name."""
    trash = folder.with_name(f".trash-{folder.name}-{os.getpid()}-{time.monotonic_ns()}")
    folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what a killed process left partly removed or partly written."""
    for left in [*folder.glob(".trash-*"), *folder.glob(".*.tmp"), *folder.parent.glob(".trash-*")]:
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _forget_old_runs(current: Path) -> None:
    """Keep the runs that were used last, and those that another process holds."""
    runs = sorted(current.parent.glob(f"*/{DESCRIPTION}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for marker in runs[KEEP_RUNS:]:
        if marker.parent == current:
            continue
        with (marker.parent / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _discard(marker.parent)


def _say(message: str) -> None:
    print(f"train: {message}", file=sys.stderr, flush=True)
