"""Runs for the tests of the report: the outs of a whole pipeline, made in a moment with made-up answers of a model."""

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import ROOT, change_params

from refit import paths
from refit.data import label_sets
from refit.data.task_record import ProblemType, SplitRecord, TaskRecord
from refit.download.task_registry import DEFAULT_SCORES
from refit.evaluation import against_baseline, evaluate
from refit.storage import manifest
from refit.storage.arrow import Rows
from refit.training import curves

SPLITS = {"train": 60, "validation": 30, "test": 25}
LABELS = ["negative", "positive"]
TEXTS = ["a good film", "a dull plot", "nothing happens in it at all"]
MAX_LENGTH = 32
HOSTILE = "</script><img src=x onerror=alert(1)>"
HOSTILE_LABELS = [HOSTILE, "{{7*7}}", "مرحبا بالعالم", "电影很好", "a label without end " * 20, "=1+1"]
HOSTILE_TEXTS = [
    f"{HOSTILE} text",
    "{{7*7}} ${7*7} <%= 7*7 %>",
    "a NUL \x00 and a bell \x07",
    "\u202eoverridden\u202c and \u200fmarked\u200f",
    "هذا الفيلم رائع جدا with English in it",
    "这部电影非常好看，我很喜欢。",
    "x" * 5_000,
    "<b>bold</b> & 'quoted' \"twice\"",
    "",
]


def task_record(**changes: Any) -> TaskRecord:
    """The record of an own task of two classes, with other fields where they are given."""
    fields: dict[str, Any] = {
        "name": "own/tiny", "source": "own", "source_name": "own/tiny", "revision": "none", "files": {}, "note": "",
        "problem_type": "classification", "is_pair": False, "labels": ["no", "yes"], "scores": ["accuracy"],
        "best_score": "accuracy", "splits": splits(SPLITS), **changes,
    }  # fmt: skip
    return TaskRecord(**fields)


def splits(rows: dict[str, int], sha256: str = "1") -> dict[str, SplitRecord]:
    """The records of labelled splits."""
    return {split: SplitRecord(rows=count, is_labelled=True, sha256=sha256) for split, count in rows.items()}


def write(
    folder: Path, *, labels: Sequence[str] = LABELS, texts: Sequence[str] = TEXTS, is_pair: bool = False,
    is_multi_label: bool = False,
) -> Path:  # fmt: skip
    """Write data/, models/base/model.json, metrics/ and params.yaml under `folder`; no labels: a regression."""
    generator = np.random.default_rng(7)
    kind: ProblemType = "multi_label" if is_multi_label else "classification" if labels else "regression"
    scores = list(DEFAULT_SCORES[kind])
    task = task_record(
        name="own/made", problem_type=kind, is_pair=is_pair, labels=labels, scores=scores, best_score=scores[0]
    )
    (folder / paths.SAMPLED).mkdir(parents=True)
    (folder / paths.RAW).mkdir(parents=True)
    (folder / "metrics").mkdir()
    task.write(folder / paths.TASK)
    weights = {"model.safetensors": "0" * 64}
    model = {"model": "models/tiny", "source": "folder", "revision": "local", "files": weights}
    manifest.write_record(folder / paths.BASE_MODEL / "model.json", model)
    results = {}
    for split, rows in SPLITS.items():
        _write_rows(folder, split, rows, task, texts, generator)
        if split == "train":
            continue
        used = Rows.read(folder / paths.SAMPLED / f"{split}.arrow")
        logits = generator.normal(size=(rows, max(len(labels), 1))).astype(np.float32)
        if is_multi_label:
            logits += 2.0 * used.label - 1
        elif labels:
            logits[np.arange(rows), used.label] += 1.0
        thresholds = [0.4] * len(labels) if is_multi_label else []
        results[split] = evaluate.evaluate_split(task, split, used, logits, thresholds)
    with contextlib.chdir(folder):
        tables = {split: result.predictions for split, result in results.items()}
        _write_baseline(tables, generator)
        evaluate.write(task, results, against_baseline.tests(task, tables))
    _write_curves(folder, scores)
    shutil.copy(ROOT / "params.yaml", folder)
    change_params(folder / "params.yaml", task="own/made", model="models/tiny", max_length=MAX_LENGTH)
    return folder


def _write_rows(
    folder: Path, split: str, rows: int, task: TaskRecord, given: Sequence[str], generator: np.random.Generator
) -> None:
    texts = [f"{given[row % len(given)]} {split} {row}" for row in range(rows)]
    texts[:3] = [given[0], given[-1], given[0]]  # rows shared by all splits, one of them twice
    numbers = generator.normal(size=rows) if task.is_regression else np.arange(rows) % len(task.labels)
    labels: Any = pa.array(numbers.astype(np.float32 if task.is_regression else np.int64))
    stored = labels
    if task.is_multi_label:
        has_label = (generator.random((rows, len(task.labels))) < 0.4).astype(np.int8)
        labels = label_sets.lists(has_label)
        stored = pa.FixedSizeListArray.from_arrays(pa.array(has_label.ravel()), len(task.labels))
    columns = {"text": texts, **({"text_pair": texts[::-1]} if task.is_pair else {}), "label": labels}
    pq.write_table(pa.table(columns), folder / paths.RAW / f"{split}.parquet", row_group_size=10)
    lengths = generator.integers(3, MAX_LENGTH + 1, size=rows).astype(np.int32)
    ids = pa.array([list(range(length)) for length in lengths.tolist()], pa.list_(pa.int32()))
    sampled = {"input_ids": ids, "label": stored, "length": pa.array(lengths),
               "row": pa.array(np.arange(rows, dtype=np.int32))}  # fmt: skip
    batch = pa.record_batch(sampled)
    with pa.ipc.new_stream(str(folder / paths.SAMPLED / f"{split}.arrow"), batch.schema) as stream:
        stream.write_batch(batch)


def _write_baseline(tables: dict[str, pa.Table], generator: np.random.Generator) -> None:
    """The predictions of a baseline that knows nothing: the labels of other rows."""
    guesses = []
    for table in tables.values():
        others = table["label"].take(generator.permutation(len(table)))
        guesses.append(table.set_column(table.schema.get_field_index("prediction"), "prediction", others))
    paths.BASELINE.mkdir()
    pq.write_table(pa.concat_tables(guesses), paths.BASELINE_PREDICTIONS)
    manifest.write(paths.BASELINE, {paths.BASELINE_PREDICTIONS.name: {}})


def _write_curves(folder: Path, scores: list[str]) -> None:
    log: curves.Log = []
    for step in range(1, 13):
        log.append({"step": step, "epoch": step / 4, "loss": 2 / step, "learning_rate": 1e-4 * (13 - step)})
        if step % 4 == 0:
            evaluated = {f"eval_{name}": 0.5 - abs(step - 8) / 20 for name in scores}
            log.append({"step": step, "epoch": step / 4, "eval_loss": 1 / step, **evaluated})
    curves.write(curves.steps(log), folder / paths.STEPS)
    curves.write(curves.evaluations(log, scores[0]), folder / paths.HISTORY)
