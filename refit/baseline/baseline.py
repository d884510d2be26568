"""The baseline stage: train the linear model on the sampled examples, and score it where the encoder is scored."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refit import paths
from refit.baseline import linear
from refit.baseline.features import Features, Matrix, count
from refit.data.task_record import TaskRecord
from refit.evaluation import predictions
from refit.evaluation.metrics import score
from refit.storage import files, manifest
from refit.storage.arrow import Rows

MOST_ROWS_FOR_PAIRS_OF_WORDS = 100_000  # with more training rows, single words alone: the same score in half the memory
DECIMALS = 6


def write() -> dict[str, Any]:
    """Write metrics/baseline.json and the predictions in metrics/baseline; returns the number of training rows.

    Raises DataError for damaged files.
    """
    task = TaskRecord.read(paths.TASK)
    manifest.read(paths.SAMPLED)
    rows = {}
    for split in ("train", *task.scored_splits):
        manifest.check(paths.RAW / f"{split}.parquet", task.splits[split].sha256)
        rows[split] = Rows.read(paths.SAMPLED / f"{split}.arrow").texts()
    found, strength = _predict(task, rows)
    scores: dict[str, dict[str, float]] = {}
    for split, table in found.items():
        labels, predicted = predictions.arrays(table)
        scores[split] = {name: round(score(name, labels, predicted), DECIMALS) for name in task.scores}
        scores[split]["rows"] = len(labels)
    everything = pa.concat_tables(found.values())
    with files.replaced_folder(paths.BASELINE) as folder:
        name = paths.BASELINE_PREDICTIONS.name
        pq.write_table(everything, folder / name, compression="zstd")
        manifest.write(folder, {name: {"rows": everything.num_rows}})
    files.write_json(paths.BASELINE_SCORES, {paths.BASELINE_KEY: {task.name: scores}})
    return {"rows": len(rows["train"]), "strength": strength}


def _predict(task: TaskRecord, rows: dict[str, Rows]) -> tuple[dict[str, pa.Table], float]:
    """The linear model's predictions for each split but train, in the order of `rows`, and its strength."""
    longest = 2 if len(rows["train"]) <= MOST_ROWS_FOR_PAIRS_OF_WORDS else 1
    in_file_order = {split: of.take(np.argsort(of.row, kind="stable")) for split, of in rows.items()}

    def counted(split: str) -> list[Matrix]:
        return count(paths.RAW / f"{split}.parquet", in_file_order[split].row, longest=longest)

    train = counted("train")
    features = Features(train)
    matrix = features.of(train)
    del train  # half of the memory
    held_out = {split: features.of(counted(split)) for split in rows if split != "train"}
    model, strength = linear.fit(
        matrix, in_file_order["train"].label, (held_out["validation"], in_file_order["validation"].label),
        task.best_score, task.problem_type,
    )  # fmt: skip
    found = {}
    for split, of in held_out.items():
        ordered = in_file_order[split]
        table = predictions.table(split, ordered.row, ordered.label, *model.predict(of))
        found[split] = table.take(np.searchsorted(ordered.row, rows[split].row))
    return found, strength
