"""Score a fine-tuned model on every labelled split: scores, their details, predictions and the files DVC plots."""

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import log_softmax

from refit import paths
from refit.data.task_record import TaskRecord
from refit.escaping import csv_cell
from refit.evaluation import against_baseline, bootstrap, calibration, decisions, hf_evaluate, metrics, predictions
from refit.model import classifier, cpu_bf16, device
from refit.model.inference import Inference
from refit.params import Evaluate
from refit.stage import bar
from refit.storage import files, manifest
from refit.storage.arrow import Rows

DECIMALS = 6  # in scores.json and details.json


@dataclass(frozen=True)
class SplitResult:
    """The scores of one split, rounded, with its loss and number of rows; their details; and every prediction."""

    scores: dict[str, float]
    details: dict[str, Any]
    predictions: pa.Table
    bins: calibration.Bins | None  # None for a regression


def evaluate(params: Evaluate) -> dict[str, Any]:
    """Score models/finetuned on validation and test, where labelled; write the files in metrics/, return timings."""
    task = TaskRecord.read(paths.TASK)
    manifest.read(paths.SAMPLED)
    manifest.read(paths.FINETUNED_MODEL)
    device.use_threads(params.threads)
    number = device.number_format(params.precision, paths.FINETUNED_MODEL)
    model = classifier.finetuned(paths.FINETUNED_MODEL)
    cpu_bf16.speed_up(model, number)
    collate = classifier.collator(paths.FINETUNED_MODEL)
    thresholds = decisions.of_config(model.config.to_dict(), task.labels)
    inference = Inference(model, collate, params.eval_batch_size, number)
    results = {}
    tokens, seconds = 0, 0.0
    for split in task.scored_splits:
        rows = Rows.read(paths.SAMPLED / f"{split}.arrow")
        texts = rows.texts()
        started = time.perf_counter()
        with bar(total=len(texts), desc=f"evaluate {split}") as progress:
            logits = inference.logits(rows, progress)
        seconds += time.perf_counter() - started
        tokens += int(rows.length.sum())
        results[split] = evaluate_split(task, split, texts, logits, thresholds)
    write(task, results, against_baseline.tests(task, {split: of.predictions for split, of in results.items()}))
    done = sum(len(result.predictions) for result in results.values())
    return {"rows": done, "tokens": tokens, "loop_seconds": round(seconds, 2), "number_format": number}


def evaluate_split(
    task: TaskRecord, split: str, rows: Rows, logits: npt.NDArray[np.float32], thresholds: decisions.Thresholds = ()
) -> SplitResult:
    """Score the logits (rows, labels) of a split; the thresholds are those of refit/evaluation/decisions.py."""
    predicted = decisions.predictions(logits, task.problem_type, thresholds)
    values = hf_evaluate.compute(task.scores, rows.label, predicted)
    summary: dict[str, float] = {name: round(value, DECIMALS) for name, value in values.items()}
    summary |= {"loss": round(loss(logits, rows.label), DECIMALS), "rows": len(rows)}
    ends = {name: bootstrap.interval(name, rows.label, predicted) for name in values}
    details: dict[str, Any] = {
        "intervals": {name: [round(end, DECIMALS) for end in both] for name, both in ends.items()},
        "thresholds": decisions.to_config(thresholds, task.labels) if thresholds else {},
    }
    chances = bins = None
    if not task.is_regression:
        chances = decisions.probabilities(logits, task.problem_type)
        bins = calibration.bins(chances, rows.label)
        details |= _class_details(task.labels, rows.label, predicted)
        details["calibration_error"] = round(calibration.error(bins), DECIMALS)
    elif metrics.is_undefined(rows.label, predicted):
        print("evaluate: all values are equal, so Pearson and Spearman are undefined; reported as 0", file=sys.stderr)
    return SplitResult(summary, details, predictions.table(split, rows.row, rows.label, predicted, chances), bins)


def loss(logits: npt.NDArray[np.float32], labels: npt.NDArray[Any]) -> float:
    """The mean cross-entropy of logits (rows, labels), or the mean squared error where there is one output.

    For multi-label it is the mean of the binary cross-entropy of every label.
    """
    wide = logits.astype(np.float64)
    if labels.ndim == 2:
        return float(np.mean(np.logaddexp(0, wide) - labels * wide))
    if wide.shape[1] == 1:
        return float(np.mean((wide[:, 0] - labels) ** 2))
    return float(-np.mean(log_softmax(wide, axis=1)[np.arange(len(labels)), labels]))


def write(task: TaskRecord, results: dict[str, SplitResult], compared: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Write the results of each split, `compared` with the baseline, to metrics/."""
    files.write_json(paths.SCORES, {task.name: {split: result.scores for split, result in results.items()}})
    details = {split: {**result.details, "baseline": compared[split]} for split, result in results.items()}
    files.write_json(paths.DETAILS, {task.name: details})
    with files.replaced_file(paths.PREDICTIONS) as path:
        table = pa.concat_tables(result.predictions for result in results.values())
        pq.write_table(table, path, compression="zstd")
    _write_plots(task, results["validation"])
    written = (paths.SCORES, paths.DETAILS, paths.PREDICTIONS, paths.CONFUSION, paths.CALIBRATION, paths.SCATTER)
    manifest.write(paths.METRICS_MANIFEST.parent, {path.name: {} for path in written})


def _class_details(names: list[str], labels: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> dict[str, Any]:
    """The scores of each class, and the confusion matrix as {label: {prediction: rows}} without its zeros.

    A multi-label task has no confusion matrix: an example with two labels and two predictions confuses no certain pair.
    """
    from sklearn.metrics import precision_recall_fscore_support

    of_each = precision_recall_fscore_support(
        labels, predicted > 0 if labels.ndim == 2 else predicted, labels=range(len(names)), zero_division=0
    )
    columns = zip(*(column.tolist() for column in of_each), strict=True)
    keys = ("precision", "recall", "f1", "rows")
    classes = {label: dict(zip(keys, of_label, strict=True)) for label, of_label in zip(names, columns, strict=True)}
    matrix: dict[str, dict[str, int]] = {}
    if labels.ndim == 1:
        cells, rows = np.unique(np.stack([labels, predicted]), axis=1, return_counts=True)
        for label, prediction, count in zip(*cells.tolist(), rows.tolist(), strict=True):
            matrix.setdefault(names[label], {})[names[prediction]] = count
    return {"classes": classes, "confusion": matrix}


def _write_plots(task: TaskRecord, validation: SplitResult) -> None:
    """Write the CSV files that DVC plots: confusion and calibration of classes, or the scatter of a regression.

    The files of other problem types have only their header, and DVC leaves out their plots.
    """
    columns = [validation.predictions[name].to_pylist() for name in ("label", "prediction")]
    if task.problem_type == "classification":
        names = [csv_cell(name) for name in task.labels]
        columns = [[names[index] for index in column] for column in columns]
    for path, kind in ((paths.CONFUSION, "classification"), (paths.SCATTER, "regression")):
        rows = zip(*columns, strict=True) if task.problem_type == kind else []
        files.write_csv(path, ("actual", "predicted"), rows)
    bins = validation.bins
    calibrated = [bins.confidence, bins.accuracy, bins.confidence, bins.rows] if bins else []
    files.write_csv(paths.CALIBRATION, ("confidence", "accuracy", "perfect", "rows"), zip(*calibrated, strict=True))
