"""The section on the data: distributions of labels and lengths, truncation, and duplicated or contradicting rows."""

from typing import Any

import numpy as np
from markupsafe import Markup

from refit import paths
from refit.data import checks
from refit.escaping import cut
from refit.report import charts
from refit.report.run_data import Run
from refit.report.wording import words

MOST_LABELS = 20
CONTRADICTIONS = 4
BINS = 30


def data(run: Run) -> dict[str, Any]:
    """The charts and checks of the section. The checks read every row of data/raw, the charts the sampled examples."""
    splits = checks.read(paths.RAW, {split: run.task.splits[split].is_labelled for split in run.splits})
    found = checks.check(splits, CONTRADICTIONS)
    return {
        **({"values": _values(run)} if run.is_regression else {"labels": _labels(run)}),
        "lengths": _lengths(run),
        "medians": {split: np.median(run.sampled[split].length) for split in run.splits},
        "checks": found,
        "labelled": sum(len(split.hashes) for split in splits.values() if split.labels is not None),
        "contradictions": [
            {
                "texts": run.texts(places[0].split, np.array([places[0].row]))[0],
                "places": [(at.split, at.row, np.asarray(splits[at.split].labels)[at.row]) for at in places],
            }
            for places in found.contradictions
        ],
    }


def _labels(run: Run) -> dict[str, Any]:
    fractions = {}
    for split in run.splits:
        labels = run.sampled[split].label
        known = labels[labels >= 0]
        if len(known):
            fractions[words(split)] = np.bincount(known, minlength=len(run.labels)) / len(known)
    first = next(iter(fractions.values()))
    order = np.arange(len(run.labels))
    if len(order) > MOST_LABELS:
        order = np.argsort(-first, kind="stable")[:MOST_LABELS]
    spoken = "; ".join(f"{cut(run.labels[i], 60)[0]} {first[i]:.0%}" for i in order[:12])
    chart = charts.fractions(
        [run.labels[i] for i in order],
        {split: values[order].tolist() for split, values in fractions.items()},
        alt=f"Fraction of each label: {spoken}.",
    )
    return {"chart": chart, "shown": len(order)}


def _values(run: Run) -> Markup:
    values = run.sampled["train"].label
    counts, edges = np.histogram(values, bins=BINS)
    alt = f"Histogram of train values: mean {values.mean():.3g}, from {values.min():.3g} to {values.max():.3g}."
    return charts.histogram(counts.tolist(), edges.tolist(), x_label="value", alt=alt)


def _lengths(run: Run) -> dict[str, Any]:
    lengths, most = run.sampled["train"].length, run.params["max_length"]
    longest, full = int(lengths.max()), float((lengths == most).mean())
    width = max(1, int(np.ceil((longest + 1) / BINS)))
    limit = most + 0.5  # an edge between two bins, so that no example of max_length tokens is drawn beyond the line
    edges = np.arange(limit % width - width, longest + width, width)
    counts, _ = np.histogram(lengths, bins=edges)
    is_limit_shown = most <= 3 * longest
    alt = (
        f"Histogram of train lengths: median {np.median(lengths):.0f} tokens, longest {longest}, {full:.1%} at {most}."
    )
    chart = charts.histogram(
        counts.tolist(), edges.tolist(), x_label="tokens", alt=alt, mark=limit if is_limit_shown else None,
        mark_label=f"truncated at {most:,}",
    )  # fmt: skip
    return {"chart": chart, "full": full, "is_limit_shown": is_limit_shown}
