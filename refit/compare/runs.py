"""Read the run of a revision: scores and params from git, predictions from DVC's cache or remote."""

import json
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refit import paths
from refit.data.task_record import TaskRecord
from refit.errors import DataError, RefitError
from refit.evaluation.against_baseline import LINEAR_MODEL
from refit.evaluation.metrics import score
from refit.evaluation.predictions import arrays
from refit.repo import Revision, parse_yaml

LOCK = Path("dvc.lock")
TOLERANCE = 2e-6  # scores.json has six decimals


@dataclass(frozen=True, eq=False)
class Run:
    """The run of one revision.

    `scores` maps split → score → value, including `rows`. `params` are those that the scores were computed with.
    `inputs` maps path → md5 for all code and source data, None without a dvc.lock. `task` is data/raw/task.json,
    `predicted` the predictions on each split (refit/evaluation/predictions.py) sorted by row; if they are None and
    empty, `missing` says why. `notes` are warnings about these numbers. `folds` are the runs pooled to this one.
    """

    revision: Revision
    task_name: str
    scores: dict[str, dict[str, float]]
    params: dict[str, Any]
    inputs: dict[str, str] | None
    task: TaskRecord | None
    predicted: dict[str, pa.Table]
    missing: str
    notes: list[str]
    folds: "tuple[Run, ...]" = ()

    @property
    def name(self) -> str:
        """The name of the revision."""
        return self.revision.name


def task_record(revision: Revision) -> TaskRecord:
    """The data/raw/task.json of a revision. Raises NetworkError or DataError."""
    where = f"{revision.name}: {paths.TASK}"
    try:
        return TaskRecord.parse(json.loads(revision.from_dvc(paths.TASK)), where)
    except (ValueError, AttributeError):
        raise DataError(f"{where} is not what this version of refit writes; run dvc repro") from None


def scores_of(task: TaskRecord, predicted: pa.Table) -> dict[str, float]:
    """The number of rows and the scores of predictions."""
    return {"rows": len(predicted)} | {name: score(name, *arrays(predicted)) for name in task.scores}


def texts(revision: Revision, split: str, rows: pa.Array) -> list[list[str]]:
    """The text, and text_pair if there is one, of rows of data/raw. Raises NetworkError."""
    return [list(of_row.values()) for of_row in _texts(revision, split).take(rows).to_pylist()]


@lru_cache(maxsize=1)  # rows are asked for split by split
def _texts(revision: Revision, split: str) -> pa.Table:
    content = revision.from_dvc(paths.RAW / f"{split}.parquet")
    return pq.ParquetFile(pa.BufferReader(content)).read().drop_columns("label")


def read(revision: Revision) -> Run:
    """Read the run of a revision. Raises DataError if it has no valid scores."""
    task_name, scores = _scores(revision, paths.SCORES)
    stages, given = _yaml(revision, LOCK).get("stages", {}), _yaml(revision, paths.PARAMS)
    used = {name: value for stage in stages.values() for name, value in _stage_params(stage).items()}
    notes = []
    if stale := sorted(name for name, value in used.items() if name in given and given[name] != value):
        notes.append(f"{revision.name}: these scores were made with another {', '.join(stale)} than params.yaml has")
    task, predicted, missing = None, {}, ""
    try:
        task = task_record(revision)
        predicted = _predicted(revision, paths.PREDICTIONS, task, scores)
    except RefitError as error:
        task, missing = None, str(error)
    return Run(
        revision=revision, task_name=task_name, scores=scores, params=used or given,
        inputs=inputs(stages) if stages else None, task=task, predicted=predicted, missing=missing, notes=notes,
    )  # fmt: skip


def read_baseline(run: Run) -> Run | None:
    """The baseline of a run, as a run of its own; None if the revision has none or its predictions are not here."""
    if run.task is None:
        return None
    try:
        _, scores = _scores(run.revision, paths.BASELINE_SCORES)
        predicted = _predicted(run.revision, paths.BASELINE_PREDICTIONS, run.task, scores)
    except RefitError:
        return None
    return replace(run, revision=replace(run.revision, name=LINEAR_MODEL), scores=scores, predicted=predicted, notes=[])


def inputs(stages: dict[str, Any]) -> dict[str, str]:
    """The hashes in dvc.lock of the code and source data that stages read; the rest follows from these and params."""
    outs = {out["path"] for stage in stages.values() for out in stage.get("outs", [])}
    computed = outs - {f"{paths.DATA_SOURCE}", f"{paths.MODEL_SOURCE}"}  # hashes of files that DVC does not know
    found = {f"the command of {name}": str(stage["cmd"]) for name, stage in stages.items()}
    for dep in (dep for stage in stages.values() for dep in stage.get("deps", [])):
        if not any(f"{dep['path']}/".startswith(f"{out}/") for out in computed):
            found[dep["path"]] = dep.get("md5", "")
    return found


def _stage_params(stage: dict[str, Any]) -> dict[str, Any]:
    return dict(stage.get("params", {}).get(paths.PARAMS.name, {}))


def _scores(revision: Revision, path: Path) -> tuple[str, dict[str, dict[str, float]]]:
    """The task and the scores in a file of metrics/."""
    content = revision.from_git(path)
    if content is None:
        raise DataError(f"{revision.name}: {path} does not exist; run dvc repro and commit what it wrote")
    try:
        value = json.loads(content)
        ((task, splits),) = value.get(paths.BASELINE_KEY, value).items()
        return task, {split: {name: float(value) for name, value in of.items()} for split, of in splits.items()}
    except (ValueError, AttributeError, TypeError):
        raise DataError(f"{revision.name}: {path} is not what this version of refit writes; run dvc repro") from None


def _yaml(revision: Revision, path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; empty if there is no such file."""
    try:
        return dict(parse_yaml(revision.from_git(path) or b"{}"))
    except (ValueError, TypeError):
        raise DataError(f"{revision.name}: {path} is not a YAML mapping; compare another revision") from None


def _predicted(
    revision: Revision, path: Path, task: TaskRecord, scores: dict[str, dict[str, float]]
) -> dict[str, pa.Table]:
    """The predictions on each split. Raises DataError unless they give these scores."""
    content = revision.from_dvc(path)
    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read().sort_by("row")
    except pa.ArrowException:
        raise DataError(f"{path} is not what this version of refit writes; run dvc repro") from None
    found = {split: table.filter(pc.equal(table["split"], split)) for split in scores}
    for split, predicted in found.items():
        values = scores_of(task, predicted)
        if any(abs(values[name] - scores[split].get(name, math.inf)) > TOLERANCE for name in task.scores):
            raise DataError(
                f"{revision.name}: {path} does not give the scores in {paths.SCORES}: they are of two runs; run "
                "dvc repro and commit both together"
            )
    return found
