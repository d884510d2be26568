"""Read the run of a revision: scores and params from git, predictions from DVC's cache or remote."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from refit import paths
from refit.data.task_record import TaskRecord
from refit.download import task_registry
from refit.errors import DataError, RefitError
from refit.evaluation.metrics import score
from refit.repo import Revision, parse_yaml

LOCK = Path("dvc.lock")
TOLERANCE = 2e-6  # scores.json has six decimals
Column = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Predicted:
    """The predictions on one split, sorted by row: rows of the raw data, labels and predictions."""

    rows: Column
    labels: Column
    predictions: Column


@dataclass(frozen=True, eq=False)
class Run:
    """The run of one revision.

    `scores` maps split → score → value, including `rows`. `params` are those that the scores were computed with.
    `inputs` maps path → md5 for all code and data that do not depend on `seed`; None without a dvc.lock. `task` is
    data/raw/task.json, `predicted` the predictions on each split; if they are None, `missing` says why. `notes` are
    warnings about these numbers.
    """

    revision: Revision
    task_name: str
    scores: dict[str, dict[str, float]]
    params: dict[str, Any]
    inputs: dict[str, str] | None
    task: TaskRecord | None
    predicted: dict[str, Predicted] | None
    missing: str
    notes: list[str]

    @property
    def name(self) -> str:
        """The name of the revision."""
        return self.revision.name

    @property
    def best_score(self) -> str | None:
        """The task's main score, from the task table if data/raw/task.json is not available; None if unknown."""
        if self.task:
            return self.task.best_score
        try:
            best = task_registry.find(self.task_name).best_score
        except RefitError:
            return None
        return best if all(best in values for values in self.scores.values()) else None

    def texts(self, split: str, rows: Column) -> list[dict[str, str]]:
        """The text, and text_pair if there is one, of rows of data/raw. Raises NetworkError."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        content = self.revision.from_dvc(paths.RAW / f"{split}.parquet")
        table = pq.ParquetFile(pa.BufferReader(content)).read().take(pa.array(rows))
        return list(table.select([name for name in ("text", "text_pair") if name in table.column_names]).to_pylist())


def read(revision: Revision) -> Run:
    """Read the run of a revision. Raises DataError if it has no valid scores."""
    content = revision.from_git(paths.SCORES)
    if content is None:
        raise DataError(f"{revision.name}: {paths.SCORES} does not exist; run dvc repro and commit what it wrote")
    task_name, scores = _one_task(revision, content)
    lock, given = _yaml(revision.from_git(LOCK)).get("stages", {}), _yaml(revision.from_git(paths.PARAMS))
    used = {name: value for stage in lock.values() for name, value in _stage_params(stage).items()}
    notes = []
    stale = sorted(name for name, value in used.items() if name in given and given[name] != value)
    if stale:
        notes.append(f"{revision.name}: these scores were made with another {', '.join(stale)} than params.yaml has")
    task, predicted, missing = None, None, ""
    try:
        task = TaskRecord.parse(json.loads(revision.from_dvc(paths.TASK)), f"{revision.name}: {paths.TASK}")
        predicted = _predicted(revision.from_dvc(paths.PREDICTIONS))
        _check(revision, task, task_name, scores, predicted)
    except RefitError as error:
        predicted, missing = None, str(error)
    return Run(
        revision=revision, task_name=task_name, scores=scores, params=used or given,
        inputs=inputs(lock) if lock else None, task=task, predicted=predicted, missing=missing, notes=notes,
    )  # fmt: skip


def inputs(stages: dict[str, Any]) -> dict[str, str]:
    """The hashes in dvc.lock of everything that stages read, except outputs that depend on the param `seed`."""
    seeded = {name for name, stage in stages.items() if "seed" in _stage_params(stage)}
    made: set[str] = set()
    while True:
        made = {out["path"] for name in seeded for out in stages[name].get("outs", [])}
        more = {
            name for name, stage in stages.items() if any(_within(dep["path"], made) for dep in stage.get("deps", []))
        }
        if more <= seeded:
            break
        seeded |= more
    found = {f"the command of {name}": str(stage["cmd"]) for name, stage in stages.items()}
    for stage in stages.values():
        found |= {dep["path"]: dep.get("md5", "") for dep in stage.get("deps", []) if not _within(dep["path"], made)}
    return found


def _within(path: str, folders: set[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _stage_params(stage: dict[str, Any]) -> dict[str, Any]:
    return dict(stage.get("params", {}).get(paths.PARAMS.name, {}))


def _one_task(revision: Revision, content: bytes) -> tuple[str, dict[str, dict[str, float]]]:
    try:
        ((task, splits),) = json.loads(content).items()
        scores = {str(split): {str(name): float(value) for name, value in of.items()} for split, of in splits.items()}
    except (ValueError, AttributeError, TypeError):
        raise DataError(f"{revision.name}: {paths.SCORES} is not what evaluate writes; run dvc repro") from None
    return str(task), scores


def _yaml(content: bytes | None) -> dict[str, Any]:
    """A mapping in a YAML file; empty if there is none. Old revisions may hold anything."""
    with suppress(ValueError):
        value = parse_yaml(content or b"")
        return value if isinstance(value, dict) else {}
    return {}


def _predicted(content: bytes) -> dict[str, Predicted]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read(columns=["split", "row", "label", "prediction"])
    except pa.ArrowException:
        raise DataError(f"{paths.PREDICTIONS} is not what evaluate writes; run dvc repro") from None
    split_of_row = np.asarray(table["split"])
    rows, labels, predictions = (table[name].to_numpy() for name in ("row", "label", "prediction"))
    found = {}
    for split in dict.fromkeys(split_of_row.tolist()):
        chosen = np.flatnonzero(split_of_row == split)
        chosen = chosen[np.argsort(rows[chosen], kind="stable")]
        found[split] = Predicted(rows=rows[chosen], labels=labels[chosen], predictions=predictions[chosen])
    return found


def _check(
    revision: Revision,
    task: TaskRecord,
    task_name: str,
    scores: dict[str, dict[str, float]],
    predicted: dict[str, Predicted],
) -> None:
    """Raise DataError unless the predictions give these scores."""
    wrong = task.name != task_name or scores.keys() != predicted.keys()
    for split, rows in {} if wrong else predicted.items():
        found = {name: score(name, rows.labels, rows.predictions) for name in task.scores}
        wrong |= any(abs(value - scores[split].get(name, np.inf)) > TOLERANCE for name, value in found.items())
    if wrong:
        raise DataError(
            f"{revision.name}: {paths.PREDICTIONS} does not give the scores in {paths.SCORES}: they are of two runs; "
            "run dvc repro and commit both together"
        )
