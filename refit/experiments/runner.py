"""Run one DVC experiment in a clone, leaving the workspace alone; its result appears in `dvc exp show`."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from refit import locking, paths
from refit.data.task_record import TaskRecord
from refit.errors import RefitError
from refit.experiments import workcopy
from refit.params import formatted
from refit.repo import Revision, experiment

Poll = Callable[[list[dict[str, Any]]], bool]


class ExperimentFailedError(RefitError):
    """A `dvc exp run` failed; the text is the line of its log that says why."""


def run(name: str, changes: Mapping[str, Any], folder: Path, is_hopeless: Poll | None = None) -> bool:
    """Run the experiment `name` unless it exists; returns False if `is_hopeless` stopped it.

    `changes` maps params to values. `is_hopeless` is called with all evaluations so far whenever there is a new one.
    The log is written to `folder`. If a command that was killed left this experiment running, wait for it instead of
    starting it a second time. Raises ExperimentFailedError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locking.locked(folder / f"{name}.lock", f"{name} is still running; waiting for it") as lock:
        if experiment(name) is None:
            workcopy.fetch(name)
        try:
            return experiment(name) is not None or _run(name, changes, folder, lock, is_hopeless)
        finally:
            workcopy.remove(name)


def scores(name: str) -> tuple[dict[str, Any], TaskRecord]:
    """(the scores of its task, the task record) of a finished experiment. Raises NetworkError."""
    finished = Revision(name, experiment(name))
    task = TaskRecord.parse(json.loads(finished.from_dvc(paths.TASK)), f"{name} {paths.TASK}")
    return json.loads(finished.from_git(paths.SCORES) or b"{}")[task.name], task


def evaluations(file: Path) -> list[dict[str, Any]]:
    """The evaluations of a running training so far: the number of each, counted over resumed runs, and its score."""
    lines = file.read_text().splitlines(keepends=True) if file.is_file() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _run(name: str, changes: Mapping[str, Any], folder: Path, lock: int, is_hopeless: Poll | None) -> bool:
    file = (folder / f"{name}.evaluations").resolve()
    file.unlink(missing_ok=True)
    log = folder / f"{name}.log"
    settings = [part for key, value in changes.items() for part in ("-S", f"{key}={formatted(value)}")]
    with log.open("w") as output:
        process = subprocess.Popen(
            ["dvc", "exp", "run", "--name", name, *settings],
            cwd=workcopy.make(name), env={**os.environ, paths.EVALUATIONS: str(file)},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            pass_fds=[lock],  # so that the lock is held as long as the run lives
            process_group=0,
        )  # fmt: skip
    seen, must_stop = 0, True
    try:
        while must_stop := (process.poll() is None):
            time.sleep(0.5)
            found = evaluations(file)
            if is_hopeless and len(found) > seen and is_hopeless(found):
                break
            seen = len(found)
    finally:
        if must_stop:  # hopeless, or this command was interrupted
            os.killpg(process.pid, signal.SIGINT)  # DVC leaves it to its stage, which saves its state and exits
            process.wait()
    if must_stop and process.returncode:
        return False
    if process.returncode:
        raise ExperimentFailedError(f"{_reason(process.returncode, log.read_text(errors='replace'))} (full log: {log})")
    workcopy.fetch(name)
    return True


def _reason(code: int, log: str) -> str:
    """The line of a log that says why the run failed."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    found = [line for line in lines if line.startswith("refit ")] or [line for line in lines if "ERROR" in line]
    return (found or lines or [f"dvc exp run ended with code {code}"])[-1]
