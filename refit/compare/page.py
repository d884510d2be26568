"""A comparison as one self-contained page, in the report's style, with the curves of the runs laid over each other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from markupsafe import Markup

from refit.compare.comparison import REAL, Comparison, Line
from refit.compare.flips import Flip
from refit.compare.runs import Run
from refit.compare.text import cells, conclusion, legend, reasons
from refit.errors import NetworkError
from refit.report import charts, page
from refit.storage import files

# The verdict early: on a phone the last columns are out of sight.
SCORE_HEAD = ("revision", "value", "difference", "is it real?", "p", "95% of difference", "95% of value")
LEFT = ("revision", "is it real?")
CURVES_AT_ONCE = charts.COLOURS  # more lines on one chart cannot be told apart
MOST_FLIPS = 200
TITLE = "Compared: "


def is_ours(path: Path) -> bool:
    """Whether a file is a page that `write` made."""
    with path.open("rb") as file:
        return f"<title>{TITLE}".encode() in file.read(2_000)


def write(compared: Comparison, flips: Sequence[Flip] | None, target: Path) -> None:
    """Write the page; what cannot be fetched is named on it."""
    title = " and ".join(dict.fromkeys((compared.first.name, compared.last.name)))
    lead = page.join(page.paragraph(text) for text in [conclusion(compared)] if text)
    sections = [page.Section("scores", "Scores", _scores(compared))]
    sections.append(page.Section("curves", "Curves", _curves(compared.runs)))
    sections.append(page.Section("what-differs", "What differs", _what_differs(compared)))
    if flips is not None:
        sections.append(page.Section("flips", "Rows that flipped", _flips(flips)))
    sections.append(page.Section("revisions", "Revisions", _revisions(compared.runs)))
    files.write_text(target, page.document(f"{TITLE}{title}", lead, sections))


def _scores(compared: Comparison) -> Markup:
    tables = []
    for task, split, score in dict.fromkeys((line.task, line.split, line.score) for line in compared.lines):
        lines = [line for line in compared.lines if (line.task, line.split, line.score) == (task, split, score)]
        columns = "".join("l" if name in LEFT else "r" for name in SCORE_HEAD)
        caption = f"{task}: {score} on {split}, {lines[0].rows:,} rows"
        tables.append(page.table(SCORE_HEAD, [_score_row(line) for line in lines], columns=columns, caption=caption))
    notes = [page.paragraph(text, kind="warn") for text in [*reasons(compared), *compared.notes]]
    return page.join([*tables, *notes, page.paragraph(legend(compared), kind="quiet")])


def _score_row(line: Line) -> list[page.Content]:
    name, value, interval, difference, p, verdict = cells(line)
    of_difference = f"{line.test.low:+.3f} to {line.test.high:+.3f}" if line.test else ""
    shown = Markup("<b>{}</b>").format(verdict) if verdict == REAL else verdict
    return [page.name(name), value, difference, shown, p, of_difference, interval]


def _curves(runs: Sequence[Run]) -> Markup:
    histories, missing = {}, []
    for run in runs:
        try:
            histories[run.name] = run.history()
        except NetworkError as error:
            missing.append(page.paragraph(str(error), kind="warn"))
    columns = dict.fromkeys(name for rows in histories.values() for row in rows for name in row)
    parts = [
        figure
        for column in columns
        if column not in ("step", "epoch")
        for figure in _figures_of(column, {name: rows for name, rows in histories.items() if column in rows[0]})
    ]
    return page.join([page.figures(parts), *missing])


def _figures_of(column: str, histories: dict[str, list[dict[str, float]]]) -> Iterator[Markup]:
    """The curves of one column; with many runs, on several charts that all have the first run's."""
    names = list(histories)
    first, others = names[0], names[1:]
    step = CURVES_AT_ONCE - 1
    for start in range(0, max(len(others), 1), step):
        chosen = [first, *others[start : start + step]]
        series = [
            charts.Series(name, [row["epoch"] for row in histories[name]], [row[column] for row in histories[name]])
            for name in chosen
        ]
        title = column.replace("_", " ")
        ends = "; ".join(f"{line.name} ends at {line.y[-1]:.4f}" for line in series)
        yield page.figure(title, charts.lines(series, x_label="epoch", alt=f"{title} by epoch: {ends}"))


def _what_differs(compared: Comparison) -> Markup:
    parts = []
    if compared.params:
        rows = [[name, *(page.name(value) for value in values)] for name, values in compared.params.items()]
        head = ["param", *(page.name(group.name) for group in compared.groups)]
        parts.append(page.table(head, rows, columns="l" * len(head), caption="Params"))
    if compared.inputs:
        parts.append(page.paragraph("Code and data:"))
        parts += [page.paragraph(Markup("<code>{}</code>").format(name)) for name in compared.inputs]
    return page.join(parts or [page.paragraph("No param, no code and no data: the runs are of the same recipe.")])


def _flips(flips: Sequence[Flip]) -> Markup:
    right = sum(flip.is_right_now for flip in flips)
    count = page.paragraph(f"{right:,} rows became right, {len(flips) - right:,} became wrong.")
    item = Markup('<li>{}<p class="quiet">{} row {}: {} → {} (label: {})</p></li>')
    shown = page.join(
        item.format(
            page.join(page.text(text) for text in flip.texts),
            flip.split, flip.row, page.name(flip.before), page.name(flip.after), page.name(flip.label),
        )
        for flip in flips[:MOST_FLIPS]
    )  # fmt: skip
    more = [page.paragraph(f"The first {MOST_FLIPS} are shown.", kind="quiet")] if len(flips) > MOST_FLIPS else []
    return page.join([count, Markup('<ul class="examples">{}</ul>').format(shown), *more])


def _revisions(runs: Sequence[Run]) -> Markup:
    def about(run: Run) -> Markup:
        commit = Markup("<code>{}</code> ").format(run.revision.commit) if run.revision.commit else ""
        return Markup("{}{}").format(commit, page.name(run.revision.title, 120))

    return page.facts((run.name, about(run)) for run in runs)
