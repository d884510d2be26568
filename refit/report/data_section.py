"""The section on the data: how labels and lengths are spread, what is cut off, and what is wrong with the rows."""

from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from refit import paths
from refit.data import checks
from refit.escaping import cut
from refit.report import charts, page
from refit.report.examples_section import texts
from refit.report.run_data import Run
from refit.report.scores_section import title

MOST_LABELS = 20
CONTRADICTIONS = 4


def section(run: Run) -> page.Section:
    """Rows and labels of the splits, token lengths with the truncation line, and the checks."""
    figures = [_values(run) if run.is_regression else _labels(run), _lengths(run)]
    return page.Section("data", "Data", page.join([_splits(run), page.figures(figures), _checks(run)]))


def _splits(run: Run) -> Markup:
    most = run.params.max_length
    rows = []
    for split in run.splits:
        lengths = run.sampled[split].length
        full = int((lengths == most).sum())
        rows.append(
            [
                title(split), f"{run.task.splits[split].rows:,}", f"{len(lengths):,}", f"{np.mean(lengths):,.1f}",
                f"{np.median(lengths):,.0f}", f"{lengths.max():,}", f"{full:,} ({full / len(lengths):.1%})",
            ]
        )  # fmt: skip
    head = ["split", "rows", "used", "mean tokens", "median", "longest", f"fill all {most:,} tokens"]
    return page.table(head, rows, columns="lrrrrrr")


def _labels(run: Run) -> Markup:
    shares = {}
    for split in run.splits:
        labels = run.sampled[split].label
        known = labels[labels >= 0]
        if len(known):
            shares[title(split)] = np.bincount(known, minlength=len(run.labels)) / len(known)
    first = next(iter(shares.values()))
    order = np.arange(len(run.labels))
    few = ""
    if len(order) > MOST_LABELS:
        order = np.argsort(-first, kind="stable")[:MOST_LABELS]
        few = f" The {MOST_LABELS} most frequent of {len(run.labels)} labels."
    names = [run.labels[i] for i in order]
    spoken = "; ".join(f"{cut(name, 60)[0]} {first[i]:.0%}" for name, i in zip(names[:12], order, strict=False))
    chart = charts.shares(
        names,
        {split: values[order].tolist() for split, values in shares.items()},
        alt=f"Share of each label: {spoken}.",
    )
    return page.figure("Labels", chart, f"The share of each label among the rows used.{few}")


def _values(run: Run) -> Markup:
    values = run.sampled["train"].label
    counts, edges = _histogram(values, 30)
    chart = charts.histogram(
        counts, edges, x_label="value",
        alt=f"Histogram of train values: mean {values.mean():.3g}, from {values.min():.3g} to {values.max():.3g}.",
    )  # fmt: skip
    return page.figure("Values", chart, f"Train rows used: mean {values.mean():.3g}, spread {values.std():.3g}.")


def _lengths(run: Run) -> Markup:
    lengths, most = run.sampled["train"].length, run.params.max_length
    full = float((lengths == most).mean())
    wide = max(1, int(np.ceil((int(lengths.max()) + 1) / 30)))
    cut = most + 0.5  # between two bins, or rows that fill all seem to lie beyond it
    edges = np.arange(cut % wide - wide, int(lengths.max()) + wide, wide)
    counts, _ = np.histogram(lengths, bins=edges)
    near = most <= 3 * int(lengths.max())
    chart = charts.histogram(
        counts.tolist(), edges.tolist(), x_label="tokens", mark=cut if near else None,
        mark_label=f"cut at {most:,}",
        alt=f"Histogram of train lengths: median {np.median(lengths):.0f} tokens, longest {lengths.max()}, "
        f"{full:.1%} fill all {most}.",
    )  # fmt: skip
    where = "" if near else f" The line, max_length {most:,}, lies far to the right."
    return page.figure(
        "Lengths",
        chart,
        f"Tokens of the train rows used, special tokens included. {full:.1%} of rows reach max_length: what follows in "
        f"them was cut off.{where}",
    )


def _checks(run: Run) -> Markup:
    splits = checks.read(paths.RAW, {split: run.task.splits[split].is_labelled for split in run.splits})
    found = checks.check(splits, CONTRADICTIONS)
    total = sum(len(split.hashes) for split in splits.values() if split.labels is not None)
    what = "pair" if run.task.is_pair else "text"
    rows = [
        [f"repeated in {title(split)}", _count(found.repeated[split], found.rows[split])] for split in run.splits
    ]  # fmt: skip
    rows += [
        [f"of {title(second)} also in {title(first)}", _count(count, found.rows[second])]
        for (first, second), count in found.shared.items()
    ]
    rows.append([f"whose {what} has another label elsewhere", _count(found.contradicting_rows, total)])
    if any(found.empty.values()):
        rows.append(["with an empty text", _count(sum(found.empty.values()), sum(found.rows.values()))])
    parts = [
        Markup("<h3>Checks</h3>"),
        page.paragraph(f"Over every row of data/raw; two {what}s are the same if every character is.", kind="quiet"),
        page.table(["rows", "found"], rows, columns="lr"),
        _verdict(found),
    ]
    if found.contradictions:
        parts += [Markup("<h3>The same text with different labels</h3>"), _contradictions(run, splits, found)]
    return page.join(parts)


def _verdict(found: checks.Checks) -> Markup:
    leaks = [f"{title(second)} with {title(first)}" for (first, second), count in found.shared.items() if count]
    if leaks:
        return page.paragraph(
            f"Rows are shared: {', '.join(leaks)}. A score on rows that were trained or chosen on is too good.",
            kind="warn",
        )
    return page.paragraph("No split shares a row with another.")


def _contradictions(run: Run, splits: dict[str, checks.Split], found: checks.Checks) -> Markup:
    items = []
    for places in found.contradictions:
        shown = run.texts(places[0].split, np.array([places[0].row]))[0]
        labels = Markup("; ").join(
            Markup("<b>{}</b> in {} row\N{NO-BREAK SPACE}{}").format(
                _label(run, np.asarray(splits[place.split].labels)[place.row]), title(place.split), f"{place.row:,}"
            )
            for place in places
        )
        items.append(Markup('<li>{}<p class="quiet">{}</p></li>').format(texts(shown), labels))
    more = found.contradicting_texts - len(found.contradictions)
    rest = page.paragraph(f"And {more:,} more.", kind="quiet") if more else Markup("")
    return Markup('<ol class="examples">\n{}\n</ol>{}').format(page.join(items), rest)


def _label(run: Run, label: Any) -> Markup:
    return Markup("{}").format(f"{label:.3g}") if run.is_regression else page.name(run.labels[int(label)])


def _count(count: int, of: int) -> str:
    if not count:
        return "0"
    share = f"{count / of:.1%}" if count / of >= 0.001 else "under 0.1%"
    return f"{count:,} ({share})"


def _histogram(values: npt.NDArray[Any], bins: int) -> tuple[list[int], list[float]]:
    counts, edges = np.histogram(values, bins=bins)
    return counts.tolist(), edges.tolist()
