"""The sections on how good the model is: scores, curves, confusion, calibration, residuals, hard examples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from refit.data.words import overlaps
from refit.evaluation import calibration
from refit.evaluation.metrics import score
from refit.report import charts, slices
from refit.report.charts import Point, Series
from refit.report.run_data import Column, Run
from refit.report.wording import score_name, words

MOST_CLASSES = 40  # rows of the table of classes
GRID_CLASSES = 10  # classes whose confusion is written out as numbers
MAP_CLASSES = 60
MOST_CONFUSIONS = 12
MOST_EVALUATIONS = 30  # rows of the table of evaluations
OVERLAP_ROWS = 20_000
SCATTER_POINTS = 1_500
SEED = 0
Values = dict[str, Any]  # what a section of the template needs
Matrix = dict[str, dict[str, int]]  # confusion matrix: label, prediction, examples; cells without examples are left out


def sections(run: Run) -> dict[str, Any]:
    """The values of each section, by its name in the template."""
    by_kind = (
        {"residuals": {split: _residuals(run, split) for split in run.scored}}
        if run.is_regression
        else {"confusion": _confusion(run), "calibration": {split: _calibration(run, split) for split in run.scored}}
    )
    return {"scores": _scores(run), "curves": _curves(run), "hardness": _hardness(run), **by_kind}


def _scores(run: Run) -> Values:
    best = run.task.best_score
    names = [best, *(name for name in run.task.scores if name != best)]
    cards = []
    for split in run.reported:
        for name in names:
            low, high = run.details[split]["intervals"][name]
            card = {"score": name, "split": split, "value": run.scores[split][name], "low": low, "high": high}
            baseline = None if run.is_regression else _baseline(run, split, name)
            cards.append({**card, "examples": run.scores[split]["rows"], "baseline": baseline})
    is_above = run.is_regression or cards[0]["low"] > cards[0]["baseline"]
    classes = {} if run.is_regression else {split: _classes(run, split) for split in run.scored}
    return {"cards": cards, "is_above_baseline": is_above, "classes": classes}


def _baseline(run: Run, split: str, name: str) -> float:
    """The score of always predicting the most frequent label of the training examples used."""
    classes = run.details[split]["classes"]
    labels = np.repeat(np.arange(len(run.labels)), [classes[label]["rows"] for label in run.labels])
    return score(name, labels, np.full_like(labels, run.most_frequent))


def _classes(run: Run, split: str) -> tuple[list[tuple[str, Values]], int]:
    """(label, its scores) of each class in the order of the labels, or of the classes with the lowest F1; their number.

    details.json has them in alphabetical order.
    """
    classes = run.details[split]["classes"]
    ordered = [(label, classes[label]) for label in run.labels]
    if len(ordered) > MOST_CLASSES:
        ordered.sort(key=lambda item: item[1]["f1"])
    return ordered[:MOST_CLASSES], len(ordered)


def _curves(run: Run) -> Values:
    history, steps, best = run.history, run.steps, run.best["epoch"]
    epochs, logged = [row["epoch"] for row in history], [row["epoch"] for row in steps]
    losses = [
        Series("train", logged, [row["loss"] for row in steps]),
        Series("validation", epochs, [row["validation_loss"] for row in history]),
    ]
    scores = [
        Series(score_name(name), epochs, [row[f"validation_{name}"] for row in history]) for name in run.task.scores
    ]
    rate = Series("learning rate", logged, [row["lr"] for row in steps])
    selected = f"selected: epoch {best:.4g}"

    def by_epoch(title: str, series: Sequence[Series], mark: float | None = None) -> Markup:
        spoken = "; ".join(f"{line.name}: {_ends(line.y)}" for line in series)
        alt = f"{title} by epoch. {spoken}" + (f"; {selected}." if mark is not None else ".")
        return charts.lines(series, x_label="epoch", alt=alt, mark=mark, mark_label=selected)

    every = max(1, len(history) // MOST_EVALUATIONS)
    shown = [row for i, row in enumerate(history) if i % every == 0 or row in (run.best, history[-1])]
    return {
        "loss": by_epoch("Loss", losses, best),
        "scores": by_epoch("Validation scores", scores, best),
        "rate": by_epoch("Learning rate", [rate]),
        "evaluations": shown,
    }


def _ends(values: Sequence[float]) -> str:
    return f"{values[0]:.4g} at first, {values[-1]:.4g} at last" if values else "no values"


def _confusion(run: Run) -> Values:
    is_small = len(run.labels) <= GRID_CLASSES
    splits = {}
    for split in run.scored:
        matrix = run.details[split]["confusion"]
        splits[split] = {"matrix": _dense(run.labels, matrix)} if is_small else _confusion_map(run.labels, matrix)
    return {"is_small": is_small, "splits": splits}


def _confusion_map(labels: Sequence[str], matrix: Matrix) -> Values:
    """The confusion of many labels: a map of those with the most mistakes, and the most frequent confusions."""
    place = {label: index for index, label in enumerate(labels)}
    confusions = [
        (count, label, prediction, count / sum(row.values()))
        for label, row in matrix.items()
        for prediction, count in row.items()
        if label != prediction
    ]
    confusions.sort(key=lambda one: (-one[0], place[one[1]], place[one[2]]))
    mistakes = dict.fromkeys(labels, 0)
    for count, label, prediction, _ in confusions:
        mistakes[label] += count
        mistakes[prediction] += count
    shown = sorted(sorted(labels, key=lambda label: -mistakes[label])[:MAP_CLASSES], key=lambda label: place[label])
    total = sum(sum(row.values()) for row in matrix.values())
    correct = 1 - sum(count for count, *_ in confusions) / max(total, 1)
    alt = f"Confusion matrix of {len(shown)} labels; {correct:.0%} of the examples are predicted correctly."
    chart = charts.heatmap(_dense(shown, matrix), alt=alt)
    return {"map": chart, "shown": len(shown), "confusions": confusions[:MOST_CONFUSIONS]}


def _dense(labels: Sequence[str], matrix: Matrix) -> list[list[int]]:
    """The counts of these labels: entry (i, j) counts examples of label i predicted as label j."""
    return [[matrix.get(label, {}).get(prediction, 0) for prediction in labels] for label in labels]


def _calibration(run: Run, split: str) -> Values:
    predicted = run.predicted(split)
    assert predicted.probabilities is not None
    bins = calibration.bins(predicted.probabilities, predicted.label)
    spoken = "; ".join(f"confidence {b.confidence:.0%}, accuracy {b.accuracy:.0%}, {b.rows} examples" for b in bins)
    chart = charts.reliability(
        [b.confidence for b in bins], [b.accuracy for b in bins], [b.rows for b in bins],
        alt=f"Reliability on {words(split)}: {spoken}.",
    )  # fmt: skip
    confidence = float(predicted.probabilities.max(axis=1).mean(dtype=np.float64))
    return {"chart": chart, "confidence": confidence, "accuracy": float(predicted.right.mean())}


def _residuals(run: Run, split: str) -> Values:
    predicted = run.predicted(split)
    error = predicted.error
    drawn = _sample(len(error), SCATTER_POINTS)
    label, prediction = predicted.label[drawn].tolist(), predicted.prediction[drawn].tolist()
    counts, edges = np.histogram(error, bins=min(40, max(5, int(np.sqrt(len(error))))))
    mean, deviation = float(error.mean()), float(error.std())
    name, correlation = words(split), run.scores[split].get("pearson", 0)
    return {
        "predicted": charts.scatter(
            label, prediction, x_label="true value", y_label="predicted",
            alt=f"Predicted over true value on {name}; Pearson correlation {correlation:.3f}.",
        ),
        "residuals": charts.scatter(
            prediction, error[drawn].tolist(), x_label="predicted value", y_label="predicted − true", line="zero",
            alt=f"Residuals over predicted value on {name}, mean {mean:.3f}.",
        ),
        "histogram": charts.histogram(
            counts.tolist(), edges.tolist(), x_label="predicted − true", mark=0.0, mark_label="0",
            alt=f"Histogram of residuals: mean {mean:.3f}, standard deviation {deviation:.3f}.",
        ),
        "drawn": len(drawn), "examples": len(error), "mean": mean, "deviation": deviation,
        "absolute": float(np.abs(error).mean()),
    }  # fmt: skip


def _hardness(run: Run) -> list[Values]:
    """Charts of the score by length and, for pairs, by the words that both texts share; of validation."""
    predicted = run.predicted("validation")
    values = np.abs(predicted.error) if run.is_regression else predicted.right
    charted = [_by_group(run, values, predicted.length, "By length", "tokens")]
    if run.task.is_pair:
        some = np.sort(_sample(len(values), OVERLAP_ROWS))
        shared = np.rint(100 * overlaps(run.texts("validation", predicted.row[some])))
        title = "By words that both texts share"
        charted.append(_by_group(run, values[some], shared, title, "% of all their different words"))
    return charted


def _by_group(run: Run, values: Column, feature: Column, title: str, unit: str) -> Values:
    groups = slices.by(feature, values, is_fraction=not run.is_regression)
    points = [Point(_range(group.low, group.high), group.mean, *group.interval) for group in groups]
    form = ".3f" if run.is_regression else ".1%"
    spoken = "; ".join(f"{point.name}: {point.value:{form}}" for point in points)
    chart = charts.intervals(
        points, x_label=unit, alt=f"{title} ({unit}): {spoken}.", mean=float(values.mean()),
        is_percent=not run.is_regression,
    )  # fmt: skip
    return {"title": title, "chart": chart, "sizes": [group.rows for group in groups]}


def _range(low: float, high: float) -> str:
    first, last = f"{low:.0f}", f"{high:.0f}"
    return first if first == last else f"{first}–{last}"


def _sample(rows: int, most: int) -> Column:
    """The indices of at most `most` rows, drawn at random but the same in each run."""
    return np.random.default_rng(SEED).permutation(rows)[:most]
