"""Scoring a fine-tuned model on every labelled split: scores, their details, predictions, confusion."""

import csv
import io
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refit import paths
from refit.data.task_record import TaskRecord
from refit.escaping import csv_cell
from refit.evaluation import bootstrap, calibration, hf_evaluate, metrics
from refit.model import classifier, cpu_kernels, device
from refit.model.inference import Inference, probabilities
from refit.params import Evaluate
from refit.stage import bar
from refit.storage import files, manifest
from refit.storage.arrow import Rows

Split = dict[str, Any]
DECIMALS = 6  # of the scores that stand in git


def evaluate(params: Evaluate) -> dict[str, Any]:
    """Score models/finetuned on the validation and test splits that have labels; write the four metric files."""
    task = TaskRecord.read(paths.TASK)
    manifest.read(paths.SAMPLED)
    manifest.read(paths.FINETUNED_MODEL)
    device.use_threads(params.threads)
    number = device.number_format(params.precision, paths.FINETUNED_MODEL)
    model = classifier.finetuned(paths.FINETUNED_MODEL)
    cpu_kernels.install(model, number)
    collate = classifier.collator(paths.FINETUNED_MODEL, device=device.device())
    answering = Inference(model, collate, params.eval_batch_size, number)
    is_regression = task.is_regression
    summaries, details, tables = {}, {}, []
    rows_done, tokens, seconds = 0, 0, 0.0
    for split in task.scored_splits:
        rows = Rows.read(paths.SAMPLED / f"{split}.arrow")
        started = time.perf_counter()
        with bar(total=len(rows), desc=f"evaluate {split}") as progress:
            logits = answering.logits(rows, progress)
        seconds += time.perf_counter() - started
        rows_done += len(rows)
        tokens += int(rows.length.sum())
        predictions = metrics.predictions_of(logits, is_regression=is_regression)
        values = hf_evaluate.compute(task.scores, rows.label, predictions)
        measured = {**values, "loss": loss(logits, rows.label)}
        summaries[split] = {**{name: round(value, DECIMALS) for name, value in measured.items()}, "rows": len(rows)}
        details[split] = _details(task, rows.label, predictions, values)
        if not is_regression:
            bins = calibration.bins(probabilities(logits), rows.label)
            details[split]["calibration_error"] = round(calibration.error(bins), DECIMALS)
        tables.append(_table(split, rows, logits, predictions, is_regression=is_regression))
    files.write_json(paths.SCORES, {task.name: summaries})
    files.write_json(paths.DETAILS, {task.name: details})
    predicted = pa.concat_tables(tables)
    with files.replaced_file(paths.PREDICTIONS) as path:
        pq.write_table(predicted, path, compression="zstd")
    _write_plots(predicted.filter(pc.equal(predicted["split"], "validation")), task)
    written = (paths.SCORES, paths.DETAILS, paths.PREDICTIONS, paths.CONFUSION, paths.CALIBRATION, paths.SCATTER)
    manifest.write(paths.METRICS_MANIFEST.parent, {path.name: {} for path in written})
    return {"rows": rows_done, "tokens": tokens, "loop_seconds": round(seconds, 2), "number_format": number}


def loss(logits: npt.NDArray[np.float32], labels: npt.NDArray[Any]) -> float:
    """The mean cross-entropy of logits (rows, labels), or the mean squared error where there is one output."""
    wide = logits.astype(np.float64)
    if wide.shape[1] == 1:
        return float(np.mean((wide[:, 0] - labels) ** 2))
    highest = wide.max(axis=1)
    total = highest + np.log(np.exp(wide - highest[:, None]).sum(axis=1))
    return float(np.mean(total - wide[np.arange(len(labels)), labels]))


def _details(
    task: TaskRecord, labels: npt.NDArray[Any], predictions: npt.NDArray[Any], values: dict[str, float]
) -> Split:
    """Intervals of the headline scores and, for classes, each class's scores and the confusion matrix."""
    details: Split = {
        "intervals": {
            name: [round(end, DECIMALS) for end in bootstrap.interval(name, labels, predictions)] for name in values
        },
    }
    if task.is_regression:
        if metrics.is_undefined(labels, predictions):
            print("evaluate: all values are equal, so Pearson and Spearman are undefined; reported as 0",
                  file=sys.stderr)  # fmt: skip
        return details
    names = task.labels
    counts = metrics.count(labels, predictions, classes=len(names))
    columns = {
        "precision": metrics.precision_of_each(counts),
        "recall": metrics.recall_of_each(counts),
        "f1": metrics.f1_of_each(counts),
        "rows": counts.labels,
    }
    details["classes"] = {
        label: {name: column[index].item() for name, column in columns.items()} for index, label in enumerate(names)
    }
    matrix: dict[str, dict[str, int]] = {}  # label, prediction, rows; without the zeros, which grow with labels squared
    cells, rows = np.unique(np.stack([labels, predictions]), axis=1, return_counts=True)
    for label, prediction, count in zip(*cells.tolist(), rows.tolist(), strict=True):
        matrix.setdefault(names[label], {})[names[prediction]] = count
    details["confusion"] = matrix
    return details


def _table(
    split: str, rows: Rows, logits: npt.NDArray[np.float32], predictions: npt.NDArray[Any], *, is_regression: bool
) -> pa.Table:
    """split, row (in data/raw), label, prediction and, for classes, probabilities (float32 each), in row order."""
    columns = {
        "split": pa.array([split] * len(rows)),
        "row": pa.array(rows.row),
        "label": pa.array(rows.label),
        "prediction": pa.array(predictions),
    }
    if not is_regression:
        chances = probabilities(logits)
        columns["probabilities"] = pa.FixedSizeListArray.from_arrays(pa.array(chances.ravel()), chances.shape[1])
    return pa.table(columns)


def _write_plots(validation: pa.Table, task: TaskRecord) -> None:
    """What DVC plots of validation: confusion and calibration of classes, or the scatter of a regression.

    The files of the other kind have their header alone, and DVC leaves their plots out.
    """
    pairs = list(zip(validation["label"].to_pylist(), validation["prediction"].to_pylist(), strict=True))
    names = [csv_cell(name) for name in task.labels]
    is_regression = task.is_regression
    called = [] if is_regression else [(names[label], names[prediction]) for label, prediction in pairs]
    _write_csv(paths.CONFUSION, ("actual", "predicted"), called)
    _write_csv(paths.SCATTER, ("actual", "predicted"), pairs if is_regression else [])
    bins: list[calibration.Bin] = []
    if not is_regression:
        chances = validation["probabilities"].combine_chunks().flatten().to_numpy().reshape(len(pairs), -1)
        bins = calibration.bins(chances, validation["label"].to_numpy())
    rows = [(part.confidence, part.accuracy, part.confidence, part.rows) for part in bins]
    _write_csv(paths.CALIBRATION, ("confidence", "accuracy", "perfect", "rows"), rows)


def _write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    files.write_text(path, text.getvalue())
