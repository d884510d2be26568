"""The sections on how good the model is: scores, curves, confusion, calibration, residuals, hard examples."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from refit.data.words import overlaps
from refit.evaluation import calibration
from refit.evaluation.against_baseline import is_better
from refit.evaluation.metrics import SCORES, score
from refit.report import charts, slices
from refit.report.charts import Series
from refit.report.run_data import Column, Run
from refit.report.wording import words

MOST_CLASSES = 40  # rows of the table of classes
MOST_CONFUSED = 10  # rows of the confusion matrix
MOST_CONFUSIONS = 12
MOST_EVALUATIONS = 30  # rows of the table of evaluations
OVERLAP_ROWS = 20_000
SCATTER_POINTS = 1_500
CURVE_POINTS = 200
SEED = 0
Values = dict[str, Any]  # what a section of the template needs


def sections(run: Run) -> dict[str, Any]:
    """The values of each section, by its name in the template."""
    task = run.task
    of_split = {
        "residuals": (_residuals, task.is_regression),
        "calibration": (_calibration, not task.is_regression),
        "confusion": (_confusion, task.problem_type == "classification"),
        "precision_recall": (_precision_recall, task.is_multi_label or len(task.labels) == 2),
    }
    found = {"scores": _scores(run), "curves": _curves(run), "hardness": _hardness(run)}
    for name, (of, is_shown) in of_split.items():
        found |= {name: {split: of(run, split) for split in run.scored}} if is_shown else {}
    return found


def _scores(run: Run) -> Values:
    """What the files do not have: the main score first, the verdict on it, and scores of the most frequent label."""
    best = run.task.best_score
    names = sorted(run.task.scores, key=lambda name: name != best)
    found: Values = {
        "names": names,
        "is_better": is_better(run.details[run.scored[0]]["baseline"][best]),
        "classes": {},
    }
    if run.task.is_regression:
        return found
    most_frequent = int(run.label_counts("train").argmax())
    found |= {"classes": {split: _classes(run, split) for split in run.scored}}
    found |= {"most_frequent": run.task.labels[most_frequent], "majority": {}}
    for split in run.scored:
        labels = run.predicted[split].label
        always = np.full(len(labels), most_frequent)
        always = np.eye(len(run.task.labels))[always] if run.task.is_multi_label else always
        found["majority"][split] = {name: score(name, labels, always) for name in names}
    return found


def _classes(run: Run, split: str) -> tuple[list[tuple[str, Values]], int]:
    """(label, its scores) of each class in the order of the labels, or of the classes with the lowest F1; their number.

    details.json has them in alphabetical order.
    """
    classes = run.details[split]["classes"]
    ordered = [(label, classes[label]) for label in run.task.labels]
    if len(ordered) > MOST_CLASSES:
        ordered.sort(key=lambda item: item[1]["f1"])
    return ordered[:MOST_CLASSES], len(ordered)


def _curves(run: Run) -> Values:
    history, steps, best = run.history, run.steps, run.best["epoch"]
    selected = (best, f"selected: epoch {best:.4g}")

    def series(name: str, rows: Sequence[dict[str, float]], column: str) -> Series:
        return Series(name, [row["epoch"] for row in rows], [row[column] for row in rows])

    def by_epoch(title: str, drawn: Sequence[Series], mark: charts.Mark | None = None) -> Markup:
        spoken = "; ".join(f"{line.name}: {_ends(line.y)}" for line in drawn)
        alt = f"{title} by epoch. {spoken}" + (f"; {mark[1]}." if mark else ".")
        return charts.lines(drawn, x_label="epoch", alt=alt, mark=mark)

    every = max(1, len(history) // MOST_EVALUATIONS)
    shown = [row for i, row in enumerate(history) if i % every == 0 or row in (run.best, history[-1])]
    losses = [series("train", steps, "loss"), series("validation", history, "validation_loss")]
    scores = [series(SCORES[name].label, history, f"validation_{name}") for name in run.task.scores]
    return {
        "loss": by_epoch("Loss", losses, selected),
        "scores": by_epoch("Validation scores", scores, selected),
        "rate": by_epoch("Learning rate", [series("learning rate", steps, "lr")]),
        "evaluations": shown,
    }


def _ends(values: Sequence[float]) -> str:
    return f"{values[0]:.4g} at first, {values[-1]:.4g} at last" if values else "no values"


def _confusion(run: Run, split: str) -> Values:
    """The labels with the most mistakes, in their order, and the most frequent confusions."""
    confusions = [
        (count, label, prediction, count / sum(row.values()))
        for label, row in run.details[split]["confusion"].items()
        for prediction, count in row.items()
        if label != prediction
    ]
    confusions.sort(key=lambda confusion: -confusion[0])
    mistakes = Counter[str]()
    for count, label, prediction, _ in confusions:
        mistakes.update({label: count, prediction: count})
    most = sorted(run.task.labels, key=lambda label: -mistakes[label])[:MOST_CONFUSED]
    return {
        "labels": [label for label in run.task.labels if label in most],
        "confusions": confusions[:MOST_CONFUSIONS],
    }


def _calibration(run: Run, split: str) -> Values:
    predicted = run.predicted[split]
    assert predicted.probabilities is not None
    bins = calibration.bins(predicted.probabilities, predicted.label)
    confidence, accuracy, rows = (column.tolist() for column in bins)
    spoken = "; ".join(
        f"confidence {sure:.0%}, accuracy {right:.0%}, {count} examples"
        for sure, right, count in zip(confidence, accuracy, rows, strict=True)
    )
    alt = f"Reliability on {words(split)}: {spoken}."
    chart = charts.scatter(confidence, accuracy, x_label="confidence", y_label="accuracy", rows=rows, alt=alt)
    means = {name: np.average(getattr(bins, name), weights=bins.rows) for name in ("confidence", "accuracy")}
    return {"chart": chart, **means}


def _precision_recall(run: Run, split: str) -> Values:
    """The precision-recall curves of the most frequent labels, or of the second of two, and the chosen points."""
    from sklearn.metrics import precision_recall_curve

    predicted, classes = run.predicted[split], run.details[split]["classes"]
    assert predicted.probabilities is not None
    shown = run.task.labels if run.task.is_multi_label else run.task.labels[1:]
    shown = sorted((label for label in shown if classes[label]["rows"]), key=lambda label: -classes[label]["rows"])
    series, labels = [], shown[: charts.COLOURS]
    for label in labels:
        index = run.task.labels.index(label)
        has_label = predicted.label[:, index] if run.task.is_multi_label else predicted.label == index
        precision, recall, _ = precision_recall_curve(has_label, predicted.probabilities[:, index])
        some = np.unique(np.linspace(0, len(recall) - 2, CURVE_POINTS).astype(int))  # without the last, which is 0, 1
        series.append(Series(label, recall[some[::-1]].tolist(), precision[some[::-1]].tolist()))
    chosen = [(classes[label]["recall"], classes[label]["precision"]) for label in labels]
    spoken = "; ".join(
        f"{label}: recall {recall:.2f}, precision {precision:.2f}"
        for label, (recall, precision) in zip(labels, chosen, strict=True)
    )
    alt = f"Precision over recall on {words(split)}. Chosen points: {spoken}."
    return {"chart": charts.lines(series, x_label="recall", alt=alt, chosen=chosen), "labels": len(labels)}


def _residuals(run: Run, split: str) -> Values:
    predicted = run.predicted[split]
    error = predicted.error
    drawn = _sample(len(error), SCATTER_POINTS)
    counts, edges = np.histogram(error, bins=min(40, max(5, int(np.sqrt(len(error))))))
    mean, deviation = float(error.mean()), float(error.std())
    name, correlation = words(split), run.scores[split].get("pearson", 0)
    return {
        "predicted": charts.scatter(
            predicted.label[drawn].tolist(), predicted.prediction[drawn].tolist(), x_label="true value",
            y_label="predicted", alt=f"Predicted over true value on {name}; Pearson correlation {correlation:.3f}.",
        ),
        "histogram": charts.histogram(
            counts.tolist(), edges.tolist(), x_label="predicted − true", mark=(0.0, "0"),
            alt=f"Histogram of residuals: mean {mean:.3f}, standard deviation {deviation:.3f}.",
        ),
        "drawn": len(drawn), "examples": len(error), "mean": mean, "deviation": deviation,
        "absolute": float(np.abs(error).mean()),
    }  # fmt: skip


def _hardness(run: Run) -> list[Values]:
    """Charts of the score by length and, for pairs, by the words that both texts share; of validation."""
    predicted = run.predicted["validation"]
    values = np.abs(predicted.error) if run.task.is_regression else predicted.right
    charted = [_by_group(run, values, predicted.length, "By length", "tokens")]
    if run.task.is_pair:
        some = np.sort(_sample(len(values), OVERLAP_ROWS))
        shared = np.rint(100 * overlaps(run.texts("validation", predicted.row[some])))
        title = "By words that both texts share"
        charted.append(_by_group(run, values[some], shared, title, "% of all their different words"))
    return charted


def _by_group(run: Run, values: Column, feature: Column, title: str, unit: str) -> Values:
    groups = slices.by(feature, values, is_fraction=not run.task.is_regression)
    spoken = "; ".join(f"{group.name}: {group.mean:.3f}" for group in groups)
    chart = charts.intervals(groups, x_label=unit, alt=f"{title} ({unit}): {spoken}.", mean=float(values.mean()))
    return {"title": title, "chart": chart, "sizes": [group.rows for group in groups]}


def _sample(rows: int, most: int) -> Column:
    """The indices of at most `most` rows, drawn at random but the same in each run."""
    return np.random.default_rng(SEED).permutation(rows)[:most]
