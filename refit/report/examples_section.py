"""The sections that show single rows as text: mistakes, doubtful rows, examples of each label."""

from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup

from refit.report import page
from refit.report.run_data import Column, Predicted, Run

ROWS = 8
EXAMPLES_OF_A_LABEL = 2
MOST_LABELS = 12
SEED = 0


def mistakes(run: Run) -> page.Section:
    """Classification: the wrong answers that the model was surest of, and the answers it was least sure of."""
    predicted = run.predicted("validation")
    chances = predicted.probabilities
    assert chances is not None
    wrong = np.flatnonzero(predicted.right == 0)
    surest = wrong[np.argsort(-chances.max(axis=1)[wrong], kind="stable")][:ROWS]
    ordered = np.sort(chances, axis=1)
    margin = ordered[:, -1] - ordered[:, -2] if chances.shape[1] > 1 else ordered[:, -1]
    doubtful = np.argsort(margin, kind="stable")[:ROWS]
    body = [
        Markup("<h3>Most confident mistakes</h3>"),
        page.paragraph("Often a wrong label, a rare use of a word, or something the text alone does not say."),
        _answers(run, predicted, surest) if len(surest) else page.paragraph("There is no mistake on validation."),
        Markup("<h3>Least certain rows</h3>"),
        page.paragraph(
            "The rows whose two most likely labels are closest: more of these in train would teach the most."
        ),
        _answers(run, predicted, doubtful),
    ]
    return page.Section("mistakes", "Mistakes and doubts", page.join(body))


def largest_errors(run: Run) -> page.Section:
    """Regression: the rows whose prediction is furthest off."""
    predicted = run.predicted("validation")
    worst = np.argsort(-np.abs(predicted.error), kind="stable")[:ROWS]
    notes = [
        Markup("true value <b>{}</b>, predicted <b>{}</b>, row\N{NO-BREAK SPACE}{}").format(
            f"{predicted.label[i]:.3g}", f"{predicted.prediction[i]:.3g}", f"{predicted.row[i]:,}"
        )
        for i in worst
    ]
    body = _list(run.texts("validation", predicted.row[worst]), notes)
    return page.Section("mistakes", "Largest errors", page.join([page.paragraph("On validation."), body]))


def examples(run: Run) -> page.Section:
    """Random train rows of each label; for regression, of each quarter of the values."""
    rows = run.sampled["train"]
    generator = np.random.default_rng(SEED)
    if run.is_regression:
        order = np.argsort(rows.label, kind="stable")
        chosen = np.concatenate([_draw(generator, part) for part in np.array_split(order, 4) if len(part)])
        notes = [
            Markup("value <b>{}</b>, row\N{NO-BREAK SPACE}{}").format(f"{rows.label[i]:.3g}", f"{rows.row[i]:,}")
            for i in chosen
        ]
        intro = "Train rows drawn at random from each quarter of the values, lowest first."
    else:
        found = [np.flatnonzero(rows.label == label) for label in range(min(len(run.labels), MOST_LABELS))]
        chosen = np.concatenate([_draw(generator, of_label) for of_label in found if len(of_label)])
        notes = [
            Markup("label <b>{}</b>, row\N{NO-BREAK SPACE}{}").format(
                page.name(run.labels[rows.label[i]]), f"{rows.row[i]:,}"
            )
            for i in chosen
        ]
        more = f" The first {MOST_LABELS} of {len(run.labels)} labels." if len(run.labels) > MOST_LABELS else ""
        intro = f"Train rows of each label, drawn at random.{more}"
    body = _list(run.texts("train", rows.row[chosen]), notes)
    return page.Section("examples", "Examples", page.join([page.paragraph(intro), body]))


def texts(parts: Sequence[str]) -> Markup:
    """The text of a row, or the two of a pair."""
    return Markup("").join(page.text(part) for part in parts)


def _draw(generator: np.random.Generator, rows: Column) -> Column:
    return generator.choice(rows, size=min(EXAMPLES_OF_A_LABEL, len(rows)), replace=False)


def _answers(run: Run, predicted: Predicted, chosen: Column) -> Markup:
    assert predicted.probabilities is not None
    notes = []
    for i in chosen:
        label, answer = int(predicted.label[i]), int(predicted.prediction[i])
        chances = predicted.probabilities[i]
        told = Markup("label <b>{}</b> ({}), ").format(page.name(run.labels[label]), f"{chances[label]:.0%}")
        called = Markup("called <b>{}</b> ({})").format(page.name(run.labels[answer]), f"{chances[answer]:.0%}")
        if label == answer:
            told, second = Markup(""), int(np.argsort(-chances, kind="stable")[1]) if len(chances) > 1 else answer
            called = Markup("rightly {}, then <b>{}</b> ({})").format(
                called, page.name(run.labels[second]), f"{chances[second]:.0%}"
            )
        notes.append(Markup("{}{}, row\N{NO-BREAK SPACE}{}").format(told, called, f"{predicted.row[i]:,}"))
    return _list(run.texts("validation", predicted.row[chosen]), notes)


def _list(rows: Iterable[Sequence[str]], notes: Iterable[Markup]) -> Markup:
    items = [
        Markup('<li>{}<p class="quiet">{}</p></li>').format(texts(parts), note)
        for parts, note in zip(rows, notes, strict=True)
    ]
    return Markup('<ol class="examples">\n{}\n</ol>').format(page.join(items))
