"""The evaluations of a running training, by which the process that started it follows and stops it.

The environment variable `VARIABLE` names a file; the training appends a line of JSON for each evaluation: its number
(counted over resumed runs), the score, and the id of the process.
"""

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

VARIABLE = "REFIT_EVALUATIONS"


def append(number: int, score: float) -> None:
    """Add an evaluation of this process to the file that the environment names, if it names one."""
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a") as file:
            file.write(json.dumps({"number": number, "score": score, "process": os.getpid()}) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The evaluations so far: number, score and process of each."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def stop(evaluation: dict[str, Any]) -> None:
    """Ask the training that appended an evaluation to save its state and exit."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(evaluation["process"], signal.SIGTERM)
