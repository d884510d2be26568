"""The evaluations of a running training, for the process that started it.

The environment variable `VARIABLE` names a file; the training appends a line of JSON for each evaluation: its number
(counted over resumed runs) and the score.
"""

import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "REFIT_EVALUATIONS"


def append(number: int, score: float) -> None:
    """Add an evaluation of this process to the file that the environment names, if it names one."""
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a") as file:
            file.write(json.dumps({"number": number, "score": score}) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The evaluations so far: number and score of each."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
