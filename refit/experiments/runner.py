"""One DVC experiment in a copy of the repository: the workspace is not touched, the result is in `dvc exp show`."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from refit import locking, paths
from refit.data.task_record import TaskRecord
from refit.errors import RefitError
from refit.experiments import workcopy
from refit.training import live

Poll = Callable[[list[dict[str, Any]]], bool]


class ExperimentFailedError(RefitError):
    """A `dvc exp run` ended with an error; the text is its last line."""


def run(name: str, changes: Mapping[str, Any], folder: Path, is_hopeless: Poll | None = None) -> bool:
    """Run one experiment unless it has been; False when it was stopped because `is_hopeless` said so.

    `changes` are params and their values; `is_hopeless` is asked about all evaluations so far. What DVC and the stages
    say goes to `folder`. A run that outlived the command that started it is waited for, not run a second time beside
    it. Raises ExperimentFailedError with the line that says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locking.locked(folder / f"{name}.lock", f"{name} is still running; waiting for it") as lock:
        if revision(name) is None:
            workcopy.fetch(name)
        try:
            return revision(name) is not None or _run(name, changes, folder, lock, is_hopeless)
        finally:
            workcopy.remove(name)


def _run(name: str, changes: Mapping[str, Any], folder: Path, lock: int, is_hopeless: Poll | None) -> bool:
    evaluations = (folder / f"{name}.evaluations").resolve()
    evaluations.unlink(missing_ok=True)
    log = folder / f"{name}.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["dvc", "exp", "run", "--name", name, *settings(changes)],
            cwd=workcopy.make(name), env={**os.environ, live.EVALUATIONS: str(evaluations)},
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            pass_fds=[lock],  # it stays taken as long as the run lives
            process_group=0,
        )  # fmt: skip
        try:
            was_stopped = _watch(process, evaluations, is_hopeless)
        except BaseException:
            # DVC leaves Ctrl-C to its stage, which saves its state and ends.
            os.killpg(process.pid, signal.SIGINT)
            process.wait()
            raise
    if was_stopped:
        return False
    if process.returncode:
        said = reason(log.read_text(errors="replace")) or f"dvc exp run ended with code {process.returncode}"
        raise ExperimentFailedError(f"{said} (all of it: {log})")
    workcopy.fetch(name)
    return True


def settings(changes: Mapping[str, Any]) -> list[str]:
    """The arguments of `dvc exp run` that change params."""
    return [
        part
        for key, value in changes.items()
        for part in ("-S", f"{key}={str(value).lower() if isinstance(value, bool) else value}")
    ]


def reason(log: str) -> str:
    """The line of a log that says why the run failed; empty when there is none."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("refit ")] or [line for line in lines if "ERROR" in line] or lines
    return said[-1] if said else ""


def revision(name: str) -> str | None:
    """The commit of an experiment, or None when there is none of this name."""
    found = subprocess.run(
        ["git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}"], capture_output=True, text=True
    ).stdout.split()
    return found[0] if found else None


def scores(name: str) -> tuple[dict[str, Any], TaskRecord]:
    """(scores.json of its task, the task record) of a finished experiment."""
    from dvc.api import DVCFileSystem

    tree = DVCFileSystem(".", rev=revision(name))
    task = TaskRecord.parse(json.loads(tree.read_text(str(paths.TASK))), f"{name} {paths.TASK}")
    return json.loads(tree.read_text(str(paths.SCORES)))[task.name], task


def _watch(process: "subprocess.Popen[bytes]", evaluations: Path, is_hopeless: Poll | None) -> bool:
    """Wait for the end, asking about every new evaluation; True when the training was asked to stop."""
    was_stopped = False
    seen = 0
    while True:
        try:
            process.wait(timeout=0.5)
            return was_stopped and process.returncode != 0
        except subprocess.TimeoutExpired:
            found = live.read_evaluations(evaluations)
            if is_hopeless is None or was_stopped or len(found) == seen:
                continue
            seen = len(found)
            if is_hopeless(found):
                was_stopped = True
                live.stop(found[-1])
