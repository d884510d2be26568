"""DVC's queue: experiments that its workers run, in the background and several at once.

The workers are processes of their own: they go on when whoever asked for the runs is stopped, and a later command
finds in the queue what it had put there.
"""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refit.errors import RefitError, UsageError
from refit.experiments import runner, workcopy

PAUSE = 3.0  # seconds between two looks
PATIENCE = 10  # looks at a run that nobody works at, before it is given up: workers answer late on a busy machine


class QueueError(RefitError):
    """DVC's queue did not do what it was asked."""


def put(runs: Mapping[str, Mapping[str, Any]]) -> None:
    """Put every run in the queue that is not waiting or running there: {name: changes of params}.

    Raises UsageError where DVC's queue cannot work.
    """
    if not workcopy.is_whole(workcopy.LOCK, workcopy.cache_folder()):
        raise UsageError(
            "--queue: dvc.lock names files that are not in this clone's cache, and DVC's queue stops at them; "
            "run dvc repro or dvc pull and commit, or leave --queue out"
        )
    states, _ = _status()
    if any(states.get(name) == "Running" for name in runs) and not _is_somebody_at_work():
        for name in runs:
            if states.get(name) == "Running":  # for ever: its worker was killed
                _dvc("queue", "kill", name)
                states[name] = "Failed"
    for name, changes in runs.items():
        if states.get(name) in ("Queued", "Running"):
            continue
        if name in states:
            _dvc("queue", "remove", name)
        _dvc("exp", "run", "--queue", "--name", name, *runner.settings(changes))


def results(names: Sequence[str], workers: int) -> Iterator[tuple[str, str | None]]:
    """Have the workers run what was put in the queue; each name as it ends, with the line that says why it failed."""
    waiting = list(names)
    unattended: Counter[str] = Counter()
    while waiting:
        states, present = _status()
        if present < workers and "Queued" in states.values():
            _dvc("queue", "start", "--jobs", str(workers))
        for name in list(waiting):
            state = states.get(name)
            unattended[name] = 0 if present and state in ("Queued", "Running") else unattended[name] + 1
            if runner.revision(name):
                error = None
            elif state == "Failed":
                error = f"{_reason(name)} (all of it: dvc queue logs {name})"
            elif unattended[name] > PATIENCE:
                error = (
                    f"{'its worker is gone' if state else 'it is no longer in the queue'}; run the same command again"
                )
            else:
                continue
            waiting.remove(name)
            yield name, error
        if waiting:
            time.sleep(PAUSE)


def _status() -> tuple[dict[str, str], int]:
    """({name: Queued, Running, Failed or Success}, number of workers)."""
    lines = [line.split() for line in _dvc("queue", "status").splitlines()]
    workers = next((int(words[2]) + int(words[4]) for words in lines if words[:2] == ["Worker", "status:"]), 0)
    known = ("Queued", "Running", "Failed", "Success")
    return {words[1]: words[-1] for words in lines if len(words) > 2 and words[-1] in known}, workers


def _is_somebody_at_work() -> bool:
    """Whether a worker answers; the answer of one that is there can be late."""
    for _ in range(PATIENCE):
        if _status()[1]:
            return True
        time.sleep(PAUSE)
    return False


def _reason(name: str) -> str:
    try:
        return runner.reason(_dvc("queue", "logs", name))
    except QueueError as error:
        return str(error)


def _dvc(*arguments: str) -> str:
    """What a DVC command prints. Raises QueueError with its last line when it fails."""
    done = subprocess.run(["dvc", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        said = runner.reason(done.stderr) or f"ended with code {done.returncode}"
        raise QueueError(f"dvc {' '.join(arguments[:2])}: {said}")
    return done.stdout
