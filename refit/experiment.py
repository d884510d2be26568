"""One DVC experiment in a temporary copy: the workspace is not touched, the result has a name in `dvc exp show`."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from refit import live, paths
from refit.errors import ParamsError, RefitError

Poll = Callable[[list[dict[str, Any]]], bool]


class ExperimentFailedError(RefitError):
    """A `dvc exp run` ended with an error; the text is its last line."""


def run(
    name: str, changes: Mapping[str, Any], log: Path, lock: int | None = None, is_hopeless: Poll | None = None
) -> bool:
    """Run one experiment; False when it was stopped because `is_hopeless` said so of its evaluations so far.

    `changes` are params and their values. What DVC and the stages say goes to `log`. `lock` is a file descriptor that
    the run holds open as long as it lives. Raises ExperimentFailedError with the line that says why.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    evaluations = log.with_suffix(".evaluations")
    evaluations.unlink(missing_ok=True)
    command = ["dvc", "exp", "run", "--temp", "--name", name]
    for key, value in changes.items():
        command += ["-S", f"{key}={_written(value)}"]
    environment = {**os.environ, live.EVALUATIONS: str(evaluations.resolve())}
    held = () if lock is None else (lock,)
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, pass_fds=held)
        was_stopped = _watch(process, evaluations, is_hopeless)
    if was_stopped:
        return False
    if process.returncode:
        raise ExperimentFailedError(_reason(log, process.returncode))
    return True


def revision(name: str) -> str | None:
    """The commit of an experiment, or None when there is none of this name."""
    found = subprocess.run(
        ["git", "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}"], capture_output=True, text=True
    ).stdout.split()
    return found[0] if found else None


def scores(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(scores.json of its task, task.json) of a finished experiment."""
    import json

    from dvc.api import DVCFileSystem

    tree = DVCFileSystem(".", rev=revision(name))
    task = json.loads(tree.read_text(str(paths.TASK)))
    return json.loads(tree.read_text(str(paths.SCORES)))[task["task"]], task


def check_repository() -> None:
    """Raise ParamsError unless experiments can be run here: a git repository with DVC and a first commit."""
    head = subprocess.run(["git", "rev-parse", "--verify", "--quiet", "HEAD"], capture_output=True)
    if head.returncode or not Path(".dvc").is_dir():
        raise ParamsError(
            "experiments need this folder to be a clone with at least one commit; run: git init, git commit"
        )


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


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reason(log: Path, code: int) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith("refit ")] or [line for line in lines if "ERROR" in line] or lines
    return f"{said[-1] if said else f'dvc exp run ended with code {code}'} (all of it: {log})"
