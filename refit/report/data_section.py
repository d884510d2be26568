"""The section on the data: distributions of labels and lengths, truncation, and duplicated or contradicting rows."""

from typing import Any

import numpy as np
from markupsafe import Markup

from refit import paths
from refit.data import checks, parquet
from refit.report import charts
from refit.report.run_data import Run

MOST_LABELS = 20
CONTRADICTIONS = 4
BINS = 30


def data(run: Run) -> dict[str, Any]:
    """The charts and checks of the section. The checks read every row of data/raw, the charts the sampled examples."""
    splits = {}
    for split in run.splits:
        rows = parquet.batches(paths.RAW / f"{split}.parquet")
        splits[split] = checks.hashed(rows, labelled=run.task.splits[split].is_labelled)
    found = checks.check(splits, CONTRADICTIONS)
    return {
        **({"histogram": _values(run)} if run.task.is_regression else {"labels": _labels(run)}),
        "lengths": _lengths(run),
        "medians": {split: np.median(run.sampled[split].length) for split in run.splits},
        "checks": found,
        "labelled": sum(len(split.hashes) for split in splits.values() if split.labels is not None),
        "contradictions": [
            {
                "texts": run.texts(places[0][0], np.array([places[0][1]]))[0],
                "places": [(split, row, run.names(np.asarray(splits[split].labels)[row])) for split, row in places],
            }
            for places in found.contradictions
        ],
    }


def _labels(run: Run) -> dict[str, Any]:
    """The splits that have labels, and the fraction of each label in them, or of the most frequent ones in train."""
    counts = {split: run.label_counts(split) for split in run.sampled}
    fractions = {split: of / len(run.sampled[split]) for split, of in counts.items() if of.any()}
    shown = np.sort(np.argsort(-fractions["train"], kind="stable")[:MOST_LABELS])
    return {
        "splits": list(fractions),
        "rows": [(run.task.labels[i], [of[i] for of in fractions.values()]) for i in shown],
    }


def _values(run: Run) -> Markup:
    values = run.sampled["train"].label
    counts, edges = np.histogram(values, bins=BINS)
    alt = f"Histogram of train values: mean {values.mean():.3g}, from {values.min():.3g} to {values.max():.3g}."
    return charts.histogram(counts.tolist(), edges.tolist(), x_label="value", alt=alt)


def _lengths(run: Run) -> dict[str, Any]:
    lengths, most, how = run.sampled["train"].length, run.params["max_length"], run.params["long_texts"]
    longest, full = int(lengths.max()), float((lengths >= most).mean())
    width = max(1, int(np.ceil((longest + 1) / BINS)))
    limit = most + 0.5  # an edge between two bins, so that no example of max_length tokens is drawn beyond the line
    edges = np.concatenate([[0], np.arange(limit % width, longest + width, width)])
    counts, _ = np.histogram(lengths, bins=edges)
    is_limit_shown = most <= 3 * longest
    alt = (
        f"Histogram of train lengths: median {np.median(lengths):.0f} tokens, longest {longest}, {full:.1%} at {most}"
        f"{' or more' if how == 'windows' else ''}."
    )
    mark = (limit, f"{'max_length' if how == 'windows' else 'truncated at'} {most:,}") if is_limit_shown else None
    chart = charts.histogram(counts.tolist(), edges.tolist(), x_label="tokens", alt=alt, mark=mark)
    return {"chart": chart, "full": full, "is_limit_shown": is_limit_shown}
