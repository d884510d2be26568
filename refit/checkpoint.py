"""Training state that survives being killed: what is committed is whole, and what is not committed does not exist.

A run lives in .refit/runs/<fingerprint>/. The Trainer writes a checkpoint's files; the commit record written last,
MANIFEST.json with each file's size and SHA-256, makes it count. A killed run goes on from the newest committed
checkpoint whose best checkpoint is whole too, and comes to the same weights as a run that was not killed.
"""

import fcntl
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from refit import files, fingerprint
from refit.errors import InterruptedRunError

RECORD = "MANIFEST.json"
LOOP = "loop_state.json"
DONE = "DONE.json"
MODEL = {"model.safetensors", "config.json"}
RESUME_ONLY = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", LOOP}
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
        """Hold the run for this process alone; a second one waits until the first is done or dead."""
        is_new = not self.folder.is_dir()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say("another process is training exactly this; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if is_new:
                self._say_what_differs()
                files.write_json(self.folder / "FINGERPRINT.json", self.description)
            _sweep(self.folder)
            yield
            _forget_old_runs(self.folder)

    def result(self) -> dict[str, Any] | None:
        """What a finished run left, if this one finished: its best step and its log."""
        if not (self.folder / DONE).is_file():
            return None
        result: dict[str, Any] = files.read_json(self.folder / DONE)
        if _problem(self.checkpoint(result["best_step"]), self.fingerprint, MODEL):
            return None
        return result

    def finish(self, result: dict[str, Any]) -> None:
        """Record that the run is complete, and keep of its checkpoints the best alone, without optimizer state."""
        files.write_json(self.folder / DONE, result)
        for step, path in _checkpoints(self.folder):
            if step != result["best_step"]:
                _discard(path)
        for name in RESUME_ONLY:
            (self.checkpoint(result["best_step"]) / name).unlink(missing_ok=True)

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint of a step."""
        return self.folder / f"checkpoint-{step}"

    def newest(self) -> Path | None:
        """The checkpoint to go on from; every one that is not whole is moved away, and said so."""
        whole: dict[int, Path] = {}
        for step, path in _checkpoints(self.folder):
            problem = _problem(path, self.fingerprint, MODEL | RESUME_ONLY)
            if problem is None:
                whole[step] = path
            else:
                _say(f"{path.name} is not used: {problem}")
                _discard(path)
        for step in sorted(whole, reverse=True):
            best = files.read_json(whole[step] / LOOP)["best_step"]
            if best in whole:
                return whole[step]
            _say(f"{whole[step].name} is not used: its best checkpoint-{best} is gone")
            _discard(whole[step])
        return None

    def _say_what_differs(self) -> None:
        """Name what sets this run apart from the last one, when there was one."""
        others = [path for path in self.folder.parent.glob("*/FINGERPRINT.json") if path.parent != self.folder]
        if not others:
            return
        newest = max(others, key=lambda path: path.stat().st_mtime)
        different = fingerprint.differences(files.read_json(newest), self.description)
        _say(f"starts afresh: other than the last run in {', '.join(different[:6])}")


class Checkpoints(TrainerCallback):  # type: ignore[misc]
    """Commits what the Trainer saves, keeps the best, stops early, and stops in order when asked to."""

    def __init__(self, run: Run, best_key: str, patience: int) -> None:
        self.run = run
        self.best_key = best_key
        self.patience = patience
        self.trainer: Trainer | None = None
        self.resumed_from: Path | None = None
        self.stop_asked = False

    def listen(self) -> None:
        """Let SIGTERM and Ctrl-C end the run after the step under way; a second one ends it at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            self.stop_asked = True
            signal.signal(number, signal.SIG_DFL)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask)

    def is_over(self, state: TrainerState) -> bool:
        """Whether the last step is done, or early stopping has had its patience."""
        return state.global_step >= state.max_steps or self._has_stalled(state)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Give the loop the sums that the Trainer forgets on resuming: they go into the next logged loss."""
        if self.resumed_from is None or self.trainer is None:
            return
        sums = files.read_json(self.resumed_from / LOOP)
        self.trainer._tr_loss = torch.tensor(sums["loss"], device=args.device)
        self.trainer._total_loss_scalar = sums["total_loss"]
        self.trainer._globalstep_last_logged = sums["last_logged"]

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Log whenever there is an evaluation, so that each has its training loss; save and stop when asked to."""
        if control.should_evaluate:
            control.should_log = True
        if self.stop_asked:
            control.should_save = True
            control.should_training_stop = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Save a new best at once: the best model is always a committed checkpoint."""
        if self.best_step(state) == state.global_step:
            control.should_save = True
        if self._has_stalled(state):
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Make the checkpoint that the Trainer has just written count, then let go of older ones."""
        if self.trainer is None or not state.is_world_process_zero:
            return
        folder = self.run.checkpoint(state.global_step)
        (folder / "training_args.bin").unlink(missing_ok=True)
        best = self.best_step(state)
        sums = {
            "loss": self.trainer._tr_loss.item(),
            "total_loss": self.trainer._total_loss_scalar,
            "last_logged": self.trainer._globalstep_last_logged,
            "best_step": best if best is not None else state.global_step,
        }
        files.write_json(folder / LOOP, sums)
        _commit(folder, self.run.fingerprint, state.global_step)
        self._let_go(keep={best, state.global_step})

    def best_step(self, state: TrainerState) -> int | None:
        """The step of the best evaluation so far, the first of equals; None before the first evaluation."""
        scores = self._scores(state)
        return max(scores, key=lambda entry: entry[1])[0] if scores else None

    def _has_stalled(self, state: TrainerState) -> bool:
        steps = [step for step, _ in self._scores(state)]
        best = self.best_step(state)
        return self.patience > 0 and best is not None and len(steps) - 1 - steps.index(best) >= self.patience

    def _scores(self, state: TrainerState) -> list[tuple[int, float]]:
        return [(entry["step"], entry[self.best_key]) for entry in state.log_history if self.best_key in entry]

    def _let_go(self, keep: set[int | None]) -> None:
        others = [(step, path) for step, path in _checkpoints(self.run.folder) if step not in keep]
        for _, path in others[KEEP_NEWEST - 1 :]:
            _discard(path)


def load_state(folder: Path) -> TrainerState:
    """The Trainer's state in a checkpoint."""
    return TrainerState.load_from_json(str(folder / "trainer_state.json"))


def interrupted(step: int, steps: int) -> InterruptedRunError:
    """The error to leave with when a run was asked to stop."""
    return InterruptedRunError(
        f"stopped as asked at step {step} of {steps}; it is saved: run the same command to go on"
    )


def _commit(folder: Path, run_fingerprint: str, step: int) -> None:
    sums = {}
    for path in sorted(folder.iterdir()):
        if path.name != RECORD:
            files.flush_to_disk(path)
            sums[path.name] = [path.stat().st_size, files.sha256(path)]
    files.flush_to_disk(folder)
    files.write_json(folder / RECORD, {"fingerprint": run_fingerprint, "step": step, "files": sums})
    files.flush_to_disk(folder)
    files.flush_to_disk(folder.parent)


def _problem(folder: Path, run_fingerprint: str, required: set[str]) -> str | None:
    """What keeps a checkpoint from being used, or None."""
    try:
        record = files.read_json(folder / RECORD)
    except FileNotFoundError:
        return "it was not finished"
    except ValueError:
        return "its record is damaged"
    if record.get("fingerprint") != run_fingerprint:
        return "it is of another run"
    lacking = required - record["files"].keys()
    if lacking:
        return f"its record lacks {', '.join(sorted(lacking))}"
    for name, (size, digest) in record["files"].items():
        path = folder / name
        if name not in required:
            continue
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size or files.sha256(path) != digest:
            return f"{name} is damaged"
    return None


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, folder) of every checkpoint, the newest first."""
    found = [
        (int(path.name.partition("-")[2]), path) for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()
    ]
    return sorted(found, reverse=True)


def _discard(folder: Path) -> None:
    """Remove a folder so that a kill on the way cannot leave half of it under its own name."""
    trash = folder.with_name(f".trash-{folder.name}-{os.getpid()}-{time.monotonic_ns()}")
    folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)


def _sweep(folder: Path) -> None:
    for path in folder.glob(".trash-*"):
        shutil.rmtree(path, ignore_errors=True)


def _forget_old_runs(current: Path) -> None:
    """Keep the newest few runs; one that another process holds is left alone."""
    runs = sorted(current.parent.glob("*/FINGERPRINT.json"), key=lambda path: path.stat().st_mtime, reverse=True)
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
