"""The sections on how good the model is: scores, curves, confusion, calibration, scatter, what rows are hard."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from refit.evaluation import calibration, metrics
from refit.report import charts, page, slices
from refit.report.charts import Point, Series
from refit.report.run_data import Column, Predicted, Run

MOST_CLASSES = 40  # rows of the table of classes
GRID_CLASSES = 10  # classes whose confusion is written out as numbers
MOST_CONFUSIONS = 12
MAP_CLASSES = 60
OVERLAP_ROWS = 20_000
SCATTER_POINTS = 1_500
SEED = 0
Matrix = dict[str, dict[str, int]]  # a confusion matrix: label, prediction, rows; cells without rows are left out


def title(split: str) -> str:
    """A split's name in words."""
    return split.replace("_", " ")


def scores(run: Run) -> page.Section:
    """The headline scores with their intervals and baselines, and every class's."""
    best = run.task.best_score
    headline = [
        page.card(
            f"{run.scores[split][name]:.3f}",
            f"{metrics.label(name)}, {title(split)}",
            "95%: {:.3f} to {:.3f}".format(*run.details[split]["intervals"][name]),
            f"{run.scores[split]['rows']:,} rows",
            *([] if run.is_regression else [f"baseline: {_baseline(run, split, name):.3f}"]),
        )
        for split in run.reported
        for name in [best, *(other for other in run.task.scores if other != best)]
    ]
    parts = [page.cards(headline), *_against_baseline(run), _which_split(run)]
    if run.task.note:
        parts.append(page.paragraph(f"About this task: {run.task.note}."))
    losses = ", ".join(f"{run.scores[split]['loss']:.4f} on {title(split)}" for split in run.scored)
    kind = "mean squared error" if run.is_regression else "cross-entropy"
    parts.append(
        page.paragraph(
            f"Loss ({kind}): {losses}. The intervals are 95% bootstrap intervals: they cover which rows were "
            "scored, not another seed.",
            kind="quiet",
        )
    )
    if not run.is_regression:
        parts.append(page.figures(_classes(run, split) for split in run.scored))
    return page.Section("scores", "Scores", page.join(parts))


def curves(run: Run) -> page.Section:
    """Loss, scores and learning rate over the epochs, the chosen one marked."""
    best, history, steps = run.best, run.history, run.steps
    epochs = [row["epoch"] for row in history]
    chosen = f"chosen: epoch {best['epoch']:.4g}"
    losses = [
        Series("train", [row["epoch"] for row in steps], [row["loss"] for row in steps]),
        Series("validation", epochs, [row["validation_loss"] for row in history]),
    ]
    by_score = [
        Series(metrics.label(name), epochs, [row[f"validation_{name}"] for row in history]) for name in run.task.scores
    ]
    spoken = "; ".join(f"{line.name}: {_ends(line.y)}" for line in by_score)
    rates = [Series("learning rate", [row["epoch"] for row in steps], [row["lr"] for row in steps])]
    tracked = metrics.label(run.task.best_score)
    parts = [
        page.figure(
            "Loss",
            charts.lines(
                losses, x_label="epoch", mark=best["epoch"], mark_label=chosen,
                alt=f"Loss by epoch. Training: {_ends(losses[0].y)}. Validation: {_ends(losses[1].y)}; {chosen}.",
            ),
            "The training loss is measured in training mode (dropout, label smoothing) on the rows as they come.",
        ),
        page.figure(
            "Validation scores",
            charts.lines(
                by_score, x_label="epoch", mark=best["epoch"], mark_label=chosen,
                alt=f"Validation scores by epoch. {spoken}; {chosen}.",
            ),
            f"The weights with the best {tracked} on validation were kept, the first of equals.",
        ),
        page.figure(
            "Learning rate", charts.lines(rates, x_label="epoch", alt=f"Learning rate: {_ends(rates[0].y)}.")
        ),
    ]  # fmt: skip
    head = ["epoch", "step", "train loss", "validation loss", *(metrics.label(name) for name in run.task.scores)]
    rows = [
        [
            f"{row['epoch']:.4g}" + (" (chosen)" if row is best else ""), f"{row['step']:,.0f}",
            f"{row['train_loss']:.4f}", f"{row['validation_loss']:.4f}",
            *(f"{row[f'validation_{name}']:.4f}" for name in run.task.scores),
        ]
        for row in _thinned(history, best)
    ]  # fmt: skip
    shown = page.table(head, rows, columns="l" + "r" * (len(head) - 1))
    return page.Section("curves", "Training", page.join([page.figures(parts), shown]))


def confusion(run: Run) -> page.Section:
    """Which labels are taken for which, as counts and as shares of the true label's rows."""
    parts = []
    for split in run.scored:
        matrix = run.details[split]["confusion"]
        name = title(split).capitalize()
        small = len(run.labels) <= GRID_CLASSES
        shown = _grid(run.labels, matrix) if small else _map(run.labels, matrix) + _pairs(run.labels, matrix)
        parts.append(Markup("<div><h3>{}</h3>{}</div>").format(name, shown))
    shown_as = (
        "rows, and their share of the line" if len(run.labels) <= GRID_CLASSES else "the share of the line's rows"
    )
    note = f"One line for each true label, one column for each answer: {shown_as}."
    return page.Section("confusion", "Confusion", page.join([page.paragraph(note, kind="quiet"), page.figures(parts)]))


def reliability(run: Run) -> page.Section:
    """Whether answers given with 80% are right in 80% of the rows."""
    figures = []
    for split in run.scored:
        predicted = run.predicted(split)
        assert predicted.probabilities is not None
        bins = calibration.bins(predicted.probabilities, predicted.label)
        error = run.details[split]["calibration_error"]
        spoken = "; ".join(f"{b.confidence:.0%} sure, {b.accuracy:.0%} right, {b.rows} rows" for b in bins)
        chart = charts.reliability(
            [b.confidence for b in bins], [b.accuracy for b in bins], [b.rows for b in bins],
            alt=f"Reliability on {title(split)}: {spoken}.",
        )  # fmt: skip
        confidence = float(predicted.probabilities.max(axis=1).mean(dtype=np.float64))
        figures.append(
            page.figure(
                title(split).capitalize(), chart,
                f"Expected calibration error {error:.3f}: {confidence:.1%} sure on average, "
                f"{predicted.right.mean():.1%} right.",
            )
        )  # fmt: skip
    note = (
        "Rows in ten bins by the probability of their answer. On the dashed line, answers are right as often as their "
        "probability says; below it, the model is too sure of itself. A dot's area is its bin's share of the rows."
    )
    return page.Section(
        "calibration", "Calibration", page.join([page.paragraph(note, kind="quiet"), page.figures(figures)])
    )


def scatter(run: Run) -> page.Section:
    """Regression: predicted over true values, and residuals."""
    parts = []
    for split in run.scored:
        predicted = run.predicted(split)
        chosen = _some(len(predicted.row), SCATTER_POINTS)
        label, answer = predicted.label[chosen].tolist(), predicted.prediction[chosen].tolist()
        residuals = predicted.error
        counts, edges = np.histogram(residuals, bins=min(40, max(5, int(np.sqrt(len(residuals))))))
        mean, spread = float(residuals.mean()), float(residuals.std())
        few = f" {len(chosen):,} of {len(residuals):,} rows, drawn at random." if len(chosen) < len(residuals) else ""
        parts += [
            Markup("<h3>{}</h3>").format(title(split).capitalize()),
            page.figures(
                [
                    page.figure(
                        "Predicted and true value",
                        charts.scatter(
                            label, answer, x_label="true value", y_label="predicted",
                            alt=f"Predicted over true value on {title(split)}; Pearson correlation "
                            f"{run.scores[split].get('pearson', 0):.3f}.",
                        ),
                        f"On the dashed line the two are equal.{few}",
                    ),
                    page.figure(
                        "Residuals",
                        charts.scatter(
                            answer, predicted.error[chosen].tolist(), x_label="predicted value",
                            y_label="predicted − true", line="zero",
                            alt=f"Residuals over predicted value on {title(split)}, mean {mean:.3f}.",
                        ),
                        "A slope or a funnel here is something that the model has not learned.",
                    ),
                    page.figure(
                        "How large the residuals are",
                        charts.histogram(
                            counts.tolist(), edges.tolist(), x_label="predicted − true", mark=0.0, mark_label="0",
                            alt=f"Histogram of residuals: mean {mean:.3f}, standard deviation {spread:.3f}.",
                        ),
                        f"Mean {mean:+.3f}, standard deviation {spread:.3f}, "
                        f"mean absolute error {np.abs(residuals).mean():.3f}.",
                    ),
                ]
            ),
        ]  # fmt: skip
    return page.Section("residuals", "Predicted and true", page.join(parts))


def hardness(run: Run) -> page.Section:
    """The score by length of text and, for pairs, by how many words they share."""
    predicted = run.predicted("validation")
    figures = [_by(run, predicted, predicted.length, "By length", "tokens")]
    if run.task.is_pair:
        chosen = np.sort(_some(len(predicted.row), OVERLAP_ROWS))
        some = Predicted(
            predicted.row[chosen], predicted.label[chosen], predicted.prediction[chosen],
            None if predicted.probabilities is None else predicted.probabilities[chosen], predicted.length[chosen],
        )  # fmt: skip
        shared = np.rint(100 * slices.overlaps(run.texts("validation", some.row)))
        figures.append(_by(run, some, shared, "By words that both texts share", "% of all their different words"))
    what = "mean absolute error" if run.is_regression else "share of rows that are right"
    note = f"On validation: the {what} in groups of about the same size, with 95% intervals; dashed: all rows."
    return page.Section(
        "hardness", "What rows are hard", page.join([page.paragraph(note, kind="quiet"), page.figures(figures)])
    )


def _baseline(run: Run, split: str, name: str) -> float:
    """The score of always giving the most frequent label of the train rows used."""
    classes = run.details[split]["classes"]
    labels = np.repeat(np.arange(len(run.labels)), [classes[label]["rows"] for label in run.labels])
    return metrics.score(name, labels, np.full_like(labels, run.commonest))


def _against_baseline(run: Run) -> list[Markup]:
    """What the baseline is, and a warning where the model may have learned no more than that; for classes only."""
    if run.is_regression:
        return []
    commonest = page.name(run.labels[run.commonest])
    said = Markup("Baseline: always answering <b>{}</b>, the most frequent label in train.").format(commonest)
    parts = [page.paragraph(said, kind="quiet")]
    split, best = run.reported[0], run.task.best_score
    if run.details[split]["intervals"][best][0] <= _baseline(run, split, best):
        parts.append(
            page.paragraph(
                f"The {metrics.label(best)} on {title(split)} is not shown to be above the baseline.", kind="warn"
            )
        )
    return parts


def _which_split(run: Run) -> Markup:
    if run.reported[0].startswith("test"):
        return page.paragraph(
            "The epoch was chosen on validation, so the score on test is the one to report. Everything below that "
            "shows single rows is about validation: whoever tunes by looking at test rows spoils them."
        )
    return page.paragraph(
        "The epoch was chosen on validation and no labelled test rows exist, so these scores are a little too good."
    )


def _classes(run: Run, split: str) -> Markup:
    classes = run.details[split]["classes"]
    ordered = [(name, classes[name]) for name in run.labels]  # details.json has them by the alphabet
    if len(classes) > MOST_CLASSES:
        ordered.sort(key=lambda item: item[1]["f1"])
    rows = [
        [page.name(name), *(f"{of[key]:.3f}" for key in ("precision", "recall", "f1")), f"{of['rows']:,}"]
        for name, of in ordered[:MOST_CLASSES]
    ]
    caption = f"Each label on {title(split)}"
    if len(classes) > MOST_CLASSES:
        caption += f": the {MOST_CLASSES} of {len(classes)} with the lowest F1; metrics/details.json has all"
    return page.table(["label", "precision", "recall", "F1", "rows"], rows, columns="lrrrr", caption=caption)


def _dense(labels: Sequence[str], matrix: Matrix) -> list[list[int]]:
    """The part of a confusion matrix that is of these labels, one row for each label, one column for each answer."""
    return [[matrix.get(label, {}).get(prediction, 0) for prediction in labels] for label in labels]


def _grid(labels: Sequence[str], matrix: Matrix) -> Markup:
    """The confusion matrix as a table whose cells are as dark as their share of the row."""
    head = Markup("").join(Markup('<th scope="col">{}</th>').format(page.name(label, 24)) for label in labels)
    rows = []
    for i, (label, row) in enumerate(zip(labels, _dense(labels, matrix), strict=True)):
        total = sum(row) or 1
        cells = Markup("").join(
            Markup('<td class="{}" style="--share:{}">{}<small>{}</small></td>').format(
                "same" if i == j else "", f"{count / total:.3f}", f"{count:,}", f"{count / total:.0%}"
            )
            for j, count in enumerate(row)
        )
        rows.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(page.name(label, 24), cells))
    table = Markup('<table class="grid"><thead><tr><td></td>{}</tr></thead><tbody>\n{}\n</tbody></table>')
    return page.scrolling(table.format(head, page.join(rows)), "confusion matrix")


def _map(labels: Sequence[str], matrix: Matrix) -> Markup:
    mistakes = dict.fromkeys(labels, 0)
    for rows, label, prediction in _confusions(labels, matrix):
        mistakes[label] += rows
        mistakes[prediction] += rows
    most = sorted(labels, key=lambda label: -mistakes[label])[:MAP_CLASSES]
    shown = [label for label in labels if label in most]
    few = f"The {len(shown)} labels with the most mistakes, of {len(labels)}" if len(shown) < len(labels) else "Labels"
    total = sum(sum(row.values()) for row in matrix.values())
    right = 1 - sum(mistakes.values()) / 2 / max(total, 1)
    return page.figure(
        "Shares of each label's rows",
        charts.heatmap(
            _dense(shown, matrix), alt=f"Confusion matrix of {len(shown)} labels; {right:.0%} of rows are right."
        ),
        f"{few}, in the order of the labels. Blue: right; orange: mistaken; the stronger, the larger the share.",
    )


def _pairs(labels: Sequence[str], matrix: Matrix) -> Markup:
    rows = [
        [page.name(label), page.name(prediction), f"{count:,}", f"{count / sum(matrix[label].values()):.0%}"]
        for count, label, prediction in _confusions(labels, matrix)[:MOST_CONFUSIONS]
    ]
    head = ["label", "called", "rows", "of the label"]
    return page.table(head, rows, columns="llrr", caption="The most frequent confusions")


def _confusions(labels: Sequence[str], matrix: Matrix) -> list[tuple[int, str, str]]:
    """(rows, label, prediction) of what is mistaken for what, most rows first, then in the order of the labels."""
    place = {label: index for index, label in enumerate(labels)}
    found = [
        (count, label, prediction)
        for label, row in matrix.items()
        for prediction, count in row.items()
        if label != prediction
    ]
    return sorted(found, key=lambda one: (-one[0], place[one[1]], place[one[2]]))


def _by(run: Run, predicted: Predicted, feature: Column, name: str, unit: str) -> Markup:
    values = np.abs(predicted.error) if run.is_regression else predicted.right
    groups = slices.by(feature, values, is_share=not run.is_regression)
    points = [Point(_range(g.low, g.high), g.mean, *g.interval) for g in groups]
    form = ".3f" if run.is_regression else ".1%"
    chart = charts.intervals(
        points, x_label=unit, whole=float(values.mean()), percent=not run.is_regression,
        alt=f"{name} ({unit}): " + "; ".join(f"{p.name}: {p.value:{form}}" for p in points) + ".",
    )  # fmt: skip
    rows = ", ".join(f"{g.rows:,}" for g in groups)
    return page.figure(name, chart, f"Rows in each group: {rows}.")


def _range(low: float, high: float) -> str:
    first, last = f"{low:.0f}", f"{high:.0f}"
    return first if first == last else f"{first}–{last}"


def _ends(values: Sequence[float]) -> str:
    return f"{values[0]:.4g} at first, {values[-1]:.4g} at last" if values else "no values"


def _thinned(history: list[dict[str, float]], best: dict[str, float]) -> list[dict[str, float]]:
    """At most about thirty evaluations, the chosen and the last one among them."""
    every = max(1, len(history) // 30)
    return [row for i, row in enumerate(history) if i % every == 0 or row is best or i == len(history) - 1]


def _some(rows: int, most: int) -> Column:
    """The indices of at most `most` rows, drawn at random but the same for each run."""
    return np.random.default_rng(SEED).permutation(rows)[:most]
